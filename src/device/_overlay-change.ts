/** What both stores of overlays do with changes. */
import { LambdaImgError } from "../base/error.ts";
import { viewOf } from "../base/bytes.ts";
import type { ZeroRun } from "./_overlay-log.ts";
import { PAGE_BYTES, type OverlayStore, type PageChange } from "./overlay-store.ts";

type Pages = Pick<OverlayStore, "runAt">;

/** Pages that the changes would store and that are not stored yet: the room they need. */
export function countNewPages(pages: Pages, changes: readonly PageChange[]): number {
  let count = 0;
  for (const { firstPage, pageCount, bytes } of changes) {
    if (bytes === undefined) continue;
    for (let page = firstPage; page < firstPage + pageCount;) {
      const run = pages.runAt(page, firstPage + pageCount);
      if (run.kind !== "stored") count += run.pageCount;
      page += run.pageCount;
    }
  }
  return count;
}

/** The failure of a change that needs more room than there is. */
export function overlayFull(
  store: Pick<OverlayStore, "maxBytes" | "storedBytes">,
  newCount: number,
): LambdaImgError {
  const { maxBytes, storedBytes } = store;
  return new LambdaImgError(
    "OVERLAY_FULL",
    `overlay: no room for ${newCount} more pages: expected at most ${maxBytes} bytes, found ${storedBytes} in use`,
    { details: { maxBytes, storedBytes, neededBytes: newCount * PAGE_BYTES } },
  );
}

/** The failure of a call that comes after `close`. */
export function overlayClosed(): LambdaImgError {
  return new LambdaImgError("OVERLAY_UNAVAILABLE", "overlay: it is closed");
}

/** What a page is sealed with besides its bytes: its number as a u64, so that it opens at no other place. */
export function pagePlace(page: number): Uint8Array {
  const place = new Uint8Array(8);
  viewOf(place).setBigUint64(0, BigInt(page), true);
  return place;
}

/** One page of bytes that are many, as a view. */
export function pageOf(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES);
}

/** A part of a change: at most BATCH_PAGES pages that get slots, and runs that become zero. */
export interface PageBatch {
  readonly stored: readonly { readonly page: number; readonly plain: Uint8Array }[];
  readonly zeros: readonly ZeroRun[];
}

/** Pages that are sealed and written at once: 512 KiB. */
const BATCH_PAGES = 128;
const BATCH_ZERO_RUNS = 1024;

/** The changes in parts that go to a file at once; none is empty. */
export function* batchesOf(changes: readonly PageChange[]): Generator<PageBatch> {
  let stored: { page: number; plain: Uint8Array }[] = [];
  let zeros: ZeroRun[] = [];
  for (const { firstPage, pageCount, bytes } of changes) {
    if (bytes === undefined) zeros.push({ firstPage, pageCount });
    for (let index = 0; bytes !== undefined && index < pageCount; index++) {
      stored.push({ page: firstPage + index, plain: pageOf(bytes, index) });
      if (stored.length < BATCH_PAGES) continue;
      yield { stored, zeros };
      [stored, zeros] = [[], []];
    }
    if (zeros.length < BATCH_ZERO_RUNS) continue;
    yield { stored, zeros };
    [stored, zeros] = [[], []];
  }
  if (stored.length + zeros.length > 0) yield { stored, zeros };
}
