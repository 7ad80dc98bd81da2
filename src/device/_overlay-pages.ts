/** What each page of an overlay is: a table that costs nothing where nothing was written. */
import { assert } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import type { PageKind, PageRun } from "./overlay-store.ts";

/** 4 MiB of device; 4 KiB of table. */
const LEAF_PAGES = 1024;

// A page as one number: 0, 1, or its slot and 2.
const BASE = 0;
const ZERO = 1;
const FIRST_SLOT = 2;
const KINDS: readonly PageKind[] = ["base", "zero", "stored"];

/** Shared by all leaves of zeros only: to discard a whole device costs one pointer for each 4 MiB. */
const ZERO_LEAF: Uint32Array = new Uint32Array(LEAF_PAGES).fill(ZERO);

/** A page that is stored, and its slot. */
export interface StoredPage {
  readonly page: number;
  readonly slot: number;
}

/** The state of every page of a device. */
export class PageTable {
  readonly pageCount: number;
  readonly #leaves: (Uint32Array | undefined)[];
  #storedCount = 0;

  constructor(pageCount: number) {
    this.pageCount = pageCount;
    this.#leaves = new Array<Uint32Array | undefined>(divCeil(pageCount, LEAF_PAGES)).fill(undefined);
  }

  /** Pages that have a slot. */
  get storedCount(): number {
    return this.#storedCount;
  }

  /** The page's slot, or `undefined` where it is not stored. */
  slotOf(page: number): number | undefined {
    const state = this.#stateOf(page);
    return state < FIRST_SLOT ? undefined : state - FIRST_SLOT;
  }

  /** The longest run of one kind that starts at `firstPage` and ends by `endPage`. */
  runAt(firstPage: number, endPage: number): PageRun {
    assert(firstPage < endPage && endPage <= this.pageCount, "the run is inside the device");
    const kind = Math.min(this.#stateOf(firstPage), FIRST_SLOT);
    let page = firstPage + 1;
    while (page < endPage) {
      const leaf = this.#leaves[Math.floor(page / LEAF_PAGES)];
      const leafEnd = Math.min(endPage, page - (page % LEAF_PAGES) + LEAF_PAGES);
      if (leaf === undefined || leaf === ZERO_LEAF) {
        if (kind !== (leaf === undefined ? BASE : ZERO)) break;
        page = leafEnd;
        continue;
      }
      while (page < leafEnd && Math.min(leaf[page % LEAF_PAGES] ?? BASE, FIRST_SLOT) === kind) page++;
      if (page < leafEnd) break;
    }
    return { kind: KINDS[kind] ?? "base", firstPage, pageCount: page - firstPage };
  }

  /** Gives the page a slot; returns the one that it had. */
  setSlot(page: number, slot: number): number | undefined {
    const former = this.slotOf(page);
    this.#leafFor(page)[page % LEAF_PAGES] = slot + FIRST_SLOT;
    if (former === undefined) this.#storedCount++;
    return former;
  }

  /** Makes pages zero, and tells of each slot that one of them had. */
  setZero(firstPage: number, pageCount: number, onFormerSlot: (slot: number) => void): void {
    const endPage = firstPage + pageCount;
    for (let page = firstPage; page < endPage;) {
      const leafEnd = Math.min(endPage, page - (page % LEAF_PAGES) + LEAF_PAGES);
      const leafIndex = Math.floor(page / LEAF_PAGES);
      const leaf = this.#leaves[leafIndex];
      const isWhole = leafEnd - page === LEAF_PAGES;
      if (leaf !== undefined && leaf !== ZERO_LEAF) {
        for (const state of leaf.subarray(page % LEAF_PAGES, (page % LEAF_PAGES) + leafEnd - page)) {
          if (state < FIRST_SLOT) continue;
          this.#storedCount--;
          onFormerSlot(state - FIRST_SLOT);
        }
      }
      if (isWhole) this.#leaves[leafIndex] = ZERO_LEAF;
      else if (leaf !== ZERO_LEAF) {
        this.#leafFor(page).fill(ZERO, page % LEAF_PAGES, (page % LEAF_PAGES) + leafEnd - page);
      }
      page = leafEnd;
    }
  }

  /** Stored pages, ascending. The table must not change meanwhile. */
  *storedPages(): Generator<StoredPage> {
    for (const [leafIndex, leaf] of this.#leaves.entries()) {
      if (leaf === undefined || leaf === ZERO_LEAF) continue;
      for (const [index, state] of leaf.entries()) {
        if (state >= FIRST_SLOT) yield { page: leafIndex * LEAF_PAGES + index, slot: state - FIRST_SLOT };
      }
    }
  }

  /** Runs of zero pages, ascending, none next to another. The table must not change meanwhile. */
  *zeroRuns(): Generator<PageRun> {
    for (let page = 0; page < this.pageCount;) {
      const run = this.runAt(page, this.pageCount);
      if (run.kind === "zero") yield run;
      page += run.pageCount;
    }
  }

  #stateOf(page: number): number {
    return this.#leaves[Math.floor(page / LEAF_PAGES)]?.[page % LEAF_PAGES] ?? BASE;
  }

  /** The leaf that has the page, made where it is missing or shared. */
  #leafFor(page: number): Uint32Array {
    const leafIndex = Math.floor(page / LEAF_PAGES);
    const found = this.#leaves[leafIndex];
    if (found !== undefined && found !== ZERO_LEAF) return found;
    const leaf = found === undefined ? new Uint32Array(LEAF_PAGES) : Uint32Array.from(found);
    this.#leaves[leafIndex] = leaf;
    return leaf;
  }
}
