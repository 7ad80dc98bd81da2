/** An overlay that ends with its process: sealed pages in slabs of memory, under a key that is nowhere else. */
import { assert } from "../base/error.ts";
import { MIB } from "../base/units.ts";
import { makeOverlayKey, OverlaySealer } from "../crypto/overlay-seal.ts";
import { countNewPages, overlayClosed, overlayFull, pageOf, pagePlace } from "./_overlay-change.ts";
import { PageTable } from "./_overlay-pages.ts";
import { SlotTable } from "./_overlay-slots.ts";
import { PAGE_BYTES, type OverlayStore, type PageChange, type PageRun } from "./overlay-store.ts";

const SLAB_BYTES = MIB;
const SLAB_SLOTS: number = SLAB_BYTES / PAGE_BYTES;

/** Some pages in one piece of memory. */
interface Slab {
  readonly bytes: Uint8Array;
  takenCount: number;
}

/** An overlay in memory. It seals synchronously: no call waits for another. */
export class MemoryOverlayStore implements OverlayStore {
  readonly pageCount: number;
  readonly maxBytes: number;
  readonly #pages: PageTable;
  readonly #slots: SlotTable;
  readonly #sealer: OverlaySealer = new OverlaySealer(makeOverlayKey());
  /** By index; a slab is let go when the last page in it is. */
  readonly #slabs: Map<number, Slab> = new Map();
  #isClosed = false;

  /** `sizeBytes` of device, whole pages; of `maxBytes`, what is no whole page is not used. */
  constructor(options: { readonly sizeBytes: number; readonly maxBytes: number }) {
    assert(options.sizeBytes % PAGE_BYTES === 0, "a device has whole pages");
    this.pageCount = options.sizeBytes / PAGE_BYTES;
    const slotCount = Math.min(Math.floor(options.maxBytes / PAGE_BYTES), this.pageCount);
    this.maxBytes = slotCount * PAGE_BYTES;
    this.#pages = new PageTable(this.pageCount);
    this.#slots = new SlotTable(slotCount);
  }

  get storedBytes(): number {
    return this.#pages.storedCount * PAGE_BYTES;
  }

  runAt(firstPage: number, endPage: number): PageRun {
    return this.#pages.runAt(firstPage, endPage);
  }

  read(firstPage: number, target: Uint8Array): Promise<void> {
    return this.#run(() => {
      for (let index = 0; index * PAGE_BYTES < target.length; index++) {
        const page = firstPage + index;
        const slot = this.#pages.slotOf(page);
        assert(slot !== undefined, "the page is stored");
        const plain = this.#sealer.open(this.#roomOf(slot), pagePlace(page), this.#slots.sealOf(slot));
        assert(plain !== undefined, "memory keeps what was written to it");
        target.set(plain, index * PAGE_BYTES);
      }
    });
  }

  apply(changes: readonly PageChange[]): Promise<void> {
    return this.#run(() => {
      const newCount = countNewPages(this, changes);
      if (newCount * PAGE_BYTES + this.storedBytes > this.maxBytes) throw overlayFull(this, newCount);
      for (const { firstPage, pageCount, bytes } of changes) {
        if (bytes === undefined) this.#clear(firstPage, pageCount);
        else
          for (let index = 0; index < pageCount; index++) this.#put(firstPage + index, pageOf(bytes, index));
      }
    });
  }

  flush(): Promise<void> {
    return this.#run(() => undefined);
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#slabs.clear();
    return Promise.resolve();
  }

  /** Does the work before it returns. */
  #run(work: () => void): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) throw overlayClosed();
      work();
      resolve();
    });
  }

  /** Writes in place where the page has a slot: no reader can come between. */
  #put(page: number, plain: Uint8Array): void {
    const slot = this.#pages.slotOf(page) ?? this.#takeSlot(page);
    const seal = this.#slots.sealOf(slot);
    this.#sealer.seal(plain, pagePlace(page), { target: this.#roomOf(slot), seal });
  }

  #takeSlot(page: number): number {
    const slot = this.#slots.take(1)[0];
    assert(slot !== undefined, "the room was checked");
    this.#pages.setSlot(page, slot);
    this.#slabOf(slot).takenCount++;
    return slot;
  }

  #clear(firstPage: number, pageCount: number): void {
    this.#pages.setZero(firstPage, pageCount, (slot) => {
      this.#slots.release(slot);
      const slab = this.#slabOf(slot);
      if (--slab.takenCount === 0) this.#slabs.delete(Math.floor(slot / SLAB_SLOTS));
    });
  }

  #roomOf(slot: number): Uint8Array {
    return pageOf(this.#slabOf(slot).bytes, slot % SLAB_SLOTS);
  }

  #slabOf(slot: number): Slab {
    const slabIndex = Math.floor(slot / SLAB_SLOTS);
    const found = this.#slabs.get(slabIndex);
    if (found !== undefined) return found;
    const made = { bytes: new Uint8Array(SLAB_BYTES), takenCount: 0 };
    this.#slabs.set(slabIndex, made);
    return made;
  }
}
