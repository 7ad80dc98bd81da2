/** A disk image that can be written: privately written pages, and the disk image where nothing was written. */
import { assert, LambdaImgError } from "../base/error.ts";
import type { BlockSource, CallOptions } from "../base/block-source.ts";
import { isAllZero } from "../base/bytes.ts";
import { forEachLimited } from "../base/pool.ts";
import { divCeil } from "../base/units.ts";
import type { BlockDevice, DeviceExtent, DeviceRange } from "./block-device.ts";
import { overlayClosed, pageOf } from "./_overlay-change.ts";
import { RangeQueue } from "./_overlay-ranges.ts";
import { PAGE_BYTES, type OverlayStore, type PageChange, type PageRun } from "./overlay-store.ts";

/** The disk image below; what it can tell of itself, it tells. */
export interface OverlayBase extends BlockSource {
  /** As BlockDevice.extents. */
  extents?(range: DeviceRange): Promise<readonly DeviceExtent[]>;
  /** As BlockDevice.prefetch. */
  prefetch?(range: DeviceRange, options?: CallOptions): Promise<void>;
}

const RUNS_AT_ONCE = 4;

/** Pages that lie together. */
interface PageSpan {
  readonly firstPage: number;
  readonly endPage: number;
}

/**
 * The disk image `base` with the pages of `store` over it. It closes the store, and leaves `base` to who made it.
 * Room is never kept for pages: a range made zero takes none, `mayDiscard` or not, and any write can meet
 * OVERLAY_FULL. A write that meets it has changed nothing.
 */
export class OverlayDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly isReadOnly = false;
  readonly #base: OverlayBase;
  readonly #store: OverlayStore;
  readonly #queue: RangeQueue = new RangeQueue();
  #closing: Promise<void> | undefined;

  constructor(base: OverlayBase, store: OverlayStore) {
    assert(base.sizeBytes === store.pageCount * PAGE_BYTES, "the overlay is as large as the disk image");
    this.sizeBytes = base.sizeBytes;
    this.#base = base;
    this.#store = store;
  }

  async read(offsetBytes: number, sizeBytes: number, options: CallOptions = {}): Promise<Uint8Array> {
    const range = this.#check({ offsetBytes, sizeBytes });
    if (sizeBytes === 0) return new Uint8Array(0);
    // A write that is under way may show or not: the disk image's bytes are as good as they were when it began.
    if (this.#isBase(range)) return this.#base.read(offsetBytes, sizeBytes, options);
    const { firstPage, endPage } = range;
    const read = async (): Promise<Uint8Array> => {
      const pages = await this.#readPages({ firstPage, endPage }, options);
      const start = offsetBytes - firstPage * PAGE_BYTES;
      return pages.subarray(start, start + sizeBytes);
    };
    return this.#queue.run({ firstPage, endPage, isExclusive: false }, read, options.signal);
  }

  async write(offsetBytes: number, bytes: Uint8Array, options?: CallOptions): Promise<void> {
    await this.#change({ offsetBytes, sizeBytes: bytes.length }, bytes, options);
  }

  async writeZeroes(
    range: DeviceRange,
    options?: { readonly mayDiscard: boolean } & CallOptions,
  ): Promise<void> {
    await this.#change(range, undefined, options);
  }

  async discard(range: DeviceRange, options?: CallOptions): Promise<void> {
    await this.#change(range, undefined, options);
  }

  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#store.flush();
  }

  async prefetch(range: DeviceRange, options?: CallOptions): Promise<void> {
    const pages = this.#check(range);
    if (range.sizeBytes === 0 || this.#base.prefetch === undefined) return;
    for (const run of this.#runs(pages.firstPage, pages.endPage)) {
      if (run.kind === "base") await this.#base.prefetch(clip(run, range), options);
    }
  }

  async extents(range: DeviceRange): Promise<readonly DeviceExtent[]> {
    const pages = this.#check(range);
    const extents: DeviceExtent[] = [];
    for (const run of range.sizeBytes === 0 ? [] : [...this.#runs(pages.firstPage, pages.endPage)]) {
      const part = clip(run, range);
      const found = run.kind === "base" ? await this.#base.extents?.(part) : undefined;
      const isZero = run.kind === "zero";
      for (const extent of found ?? [{ sizeBytes: part.sizeBytes, isZero, isHole: isZero }]) {
        const last = extents.at(-1);
        if (last?.isZero === extent.isZero && last.isHole === extent.isHole) {
          extents[extents.length - 1] = { ...last, sizeBytes: last.sizeBytes + extent.sizeBytes };
        } else extents.push(extent);
      }
    }
    return extents;
  }

  close(): Promise<void> {
    const whole = { firstPage: 0, endPage: this.#store.pageCount, isExclusive: true };
    this.#closing ??= this.#queue.run(whole, () => this.#store.close());
    return this.#closing;
  }

  /** Makes the range the bytes, or zeros where there are none. */
  async #change(range: DeviceRange, bytes: Uint8Array | undefined, options: CallOptions = {}): Promise<void> {
    const { firstPage, endPage } = this.#check(range);
    if (range.sizeBytes === 0) return;
    const change = async (): Promise<void> => {
      const changes: PageChange[] = [];
      for (const part of partsOf(range)) {
        const from = part.offsetBytes - range.offsetBytes;
        const fresh = bytes?.subarray(from, from + part.sizeBytes);
        if (part.sizeBytes % PAGE_BYTES === 0) addChanges(changes, part, fresh);
        else await this.#addPartialPage(changes, { part, fresh }, options);
      }
      await this.#store.apply(changes);
    };
    await this.#queue.run({ firstPage, endPage, isExclusive: true }, change, options.signal);
  }

  /** Adds the page of which the part is some bytes, with the other bytes that it has now. */
  async #addPartialPage(
    changes: PageChange[],
    { part, fresh }: { readonly part: DeviceRange; readonly fresh: Uint8Array | undefined },
    options: CallOptions,
  ): Promise<void> {
    const page = Math.floor(part.offsetBytes / PAGE_BYTES);
    const start = part.offsetBytes - page * PAGE_BYTES;
    const bytes = await this.#readPages({ firstPage: page, endPage: page + 1 }, options);
    if (fresh === undefined) bytes.fill(0, start, start + part.sizeBytes);
    else bytes.set(fresh, start);
    addChanges(changes, { offsetBytes: page * PAGE_BYTES, sizeBytes: PAGE_BYTES }, bytes);
  }

  /** Whole pages, in fresh memory; called in turn only. */
  async #readPages({ firstPage, endPage }: PageSpan, options: CallOptions): Promise<Uint8Array> {
    const target = new Uint8Array((endPage - firstPage) * PAGE_BYTES);
    await forEachLimited(this.#runs(firstPage, endPage), RUNS_AT_ONCE, async (run) => {
      const at = (run.firstPage - firstPage) * PAGE_BYTES;
      const sizeBytes = run.pageCount * PAGE_BYTES;
      if (run.kind === "stored") {
        await this.#store.read(run.firstPage, target.subarray(at, at + sizeBytes));
      } else if (run.kind === "base") {
        target.set(await this.#base.read(run.firstPage * PAGE_BYTES, sizeBytes, options), at);
      }
    });
    return target;
  }

  *#runs(firstPage: number, endPage: number): Generator<PageRun> {
    for (let page = firstPage; page < endPage;) {
      const run = this.#store.runAt(page, endPage);
      yield run;
      page += run.pageCount;
    }
  }

  #isBase(range: PageSpan): boolean {
    const run = this.#store.runAt(range.firstPage, range.endPage);
    return run.kind === "base" && run.firstPage + run.pageCount === range.endPage;
  }

  /** The pages that the range touches. */
  #check(range: DeviceRange): PageSpan {
    this.#checkOpen();
    const { offsetBytes, sizeBytes } = range;
    const isWhole = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(sizeBytes);
    if (!isWhole || offsetBytes < 0 || sizeBytes < 0 || offsetBytes + sizeBytes > this.sizeBytes) {
      throw new LambdaImgError(
        "DEVICE_RANGE_INVALID",
        `device: a range outside of it: expected at most ${this.sizeBytes} bytes, found ${sizeBytes} at ${offsetBytes}`,
        { details: { deviceBytes: this.sizeBytes, offsetBytes, sizeBytes } },
      );
    }
    return {
      firstPage: Math.floor(offsetBytes / PAGE_BYTES),
      endPage: divCeil(offsetBytes + sizeBytes, PAGE_BYTES),
    };
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw overlayClosed();
  }
}

/** The bytes of the run that are in the range. */
function clip(run: PageRun, range: DeviceRange): DeviceRange {
  const offsetBytes = Math.max(run.firstPage * PAGE_BYTES, range.offsetBytes);
  const end = Math.min((run.firstPage + run.pageCount) * PAGE_BYTES, range.offsetBytes + range.sizeBytes);
  return { offsetBytes, sizeBytes: end - offsetBytes };
}

/** The range cut into at most three: a part of a page, whole pages, a part of a page. */
function* partsOf(range: DeviceRange): Generator<DeviceRange> {
  const end = range.offsetBytes + range.sizeBytes;
  const middle = divCeil(range.offsetBytes, PAGE_BYTES) * PAGE_BYTES;
  const tail = Math.floor(end / PAGE_BYTES) * PAGE_BYTES;
  if (middle > tail) {
    yield range; // Inside of one page.
    return;
  }
  const cuts = [range.offsetBytes, middle, tail, end];
  for (const [index, offsetBytes] of cuts.slice(0, 3).entries()) {
    const sizeBytes = (cuts[index + 1] ?? end) - offsetBytes;
    if (sizeBytes > 0) yield { offsetBytes, sizeBytes };
  }
}

/** Adds whole pages; those that are zeros take no room. */
function addChanges(changes: PageChange[], range: DeviceRange, bytes: Uint8Array | undefined): void {
  const firstPage = range.offsetBytes / PAGE_BYTES;
  const pageCount = range.sizeBytes / PAGE_BYTES;
  if (bytes === undefined) {
    changes.push({ firstPage, pageCount });
    return;
  }
  for (let from = 0; from < pageCount;) {
    const isZero = isAllZero(pageOf(bytes, from));
    let to = from + 1;
    while (to < pageCount && isAllZero(pageOf(bytes, to)) === isZero) to++;
    const run = { firstPage: firstPage + from, pageCount: to - from };
    changes.push(isZero ? run : { ...run, bytes: bytes.subarray(from * PAGE_BYTES, to * PAGE_BYTES) });
    from = to;
  }
}
