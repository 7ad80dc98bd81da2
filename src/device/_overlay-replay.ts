/** An overlay's tables as records of its log, and the records as tables again. docs/format/overlay.md, "Opening". */
import { LambdaImgError } from "../base/error.ts";
import { pagePlace } from "./_overlay-change.ts";
import {
  RECORD_STORED_MAX,
  RECORD_ZEROS_MAX,
  SPARE_SLOTS,
  type OverlayLayout,
  type OverlayMark,
} from "./_overlay-header.ts";
import type { LogEntry, LogRecord, OverlayLog, ZeroRun } from "./_overlay-log.ts";
import type { OverlayMedium } from "./_overlay-medium.ts";
import { PageTable } from "./_overlay-pages.ts";
import { SlotTable } from "./_overlay-slots.ts";
import { PAGE_BYTES } from "./overlay-store.ts";

/** Where every page is. */
export interface OverlayTables {
  readonly pages: PageTable;
  readonly slots: SlotTable;
}

interface OverlayPlace {
  readonly medium: OverlayMedium;
  readonly layout: OverlayLayout;
}

/**
 * Records that make these tables of empty ones; one that says nothing where they are empty. A generation whose mark was lost
 * is begun again: the first record of the second time, sealed anew, ends the chain of those of the first time. The tables must
 * not change meanwhile.
 */
export function* checkpointRecords(tables: OverlayTables): Generator<LogRecord> {
  let stored: LogEntry[] = [];
  for (const { page, slot } of tables.pages.storedPages()) {
    stored.push({ page, slot, seal: tables.slots.sealOf(slot) });
    if (stored.length < RECORD_STORED_MAX) continue;
    yield { stored, zeros: [] };
    stored = [];
  }
  let zeros: ZeroRun[] = [];
  for (const run of tables.pages.zeroRuns()) {
    zeros.push(run);
    if (zeros.length < RECORD_ZEROS_MAX) continue;
    yield { stored: [], zeros };
    zeros = [];
  }
  yield { stored, zeros };
}

/**
 * The tables that the log tells of. What the mark covers is taken as it is: it was durable. A record past the mark may
 * have come to the disk without the pages that it names; so those pages are read, and one that does not open stays
 * what it was before. `isMarked` is false where there was such a record.
 * @throws OVERLAY_CORRUPT, OVERLAY_INVALID, OVERLAY_UNAVAILABLE
 */
export async function replayLog(
  place: OverlayPlace,
  log: OverlayLog,
  mark: OverlayMark,
): Promise<OverlayTables & { readonly isMarked: boolean }> {
  const { layout } = place;
  const slotCount = layout.storedMax + SPARE_SLOTS;
  const tables = { pages: new PageTable(layout.pageCount), slots: new SlotTable(slotCount) };
  const unmarked: LogRecord[] = [];
  await log.replay(mark, (record, isMarked) => {
    checkRecord(record, layout.pageCount, slotCount);
    if (isMarked) applyRecord(tables, record);
    else unmarked.push(record);
  });
  const versions = versionsOf(unmarked);
  for (const { zeros } of unmarked) {
    for (const { firstPage, pageCount } of zeros) tables.pages.setZero(firstPage, pageCount, () => undefined);
  }
  for (const [page, entries] of versions) {
    const entry = await newestWhole(place, page, entries);
    if (entry !== undefined) applyRecord(tables, { stored: [entry], zeros: [] });
  }
  for (const { page, slot } of tables.pages.storedPages()) {
    if (!tables.slots.takeAt(slot)) throw twiceTaken(page, slot);
  }
  return { ...tables, isMarked: unmarked.length === 0 };
}

/**
 * Of each page that the records store, in what order it was stored since the mark or since it last became zero. (To become
 * zero needs nothing that could be missing: what was before is out of the question then.)
 */
function versionsOf(records: readonly LogRecord[]): Map<number, LogEntry[]> {
  const versions = new Map<number, LogEntry[]>();
  for (const { stored, zeros } of records) {
    for (const run of zeros) forget(versions, run);
    for (const entry of stored) {
      const entries = versions.get(entry.page);
      if (entries === undefined) versions.set(entry.page, [entry]);
      else entries.push(entry);
    }
  }
  return versions;
}

/** Goes through the run or the versions, whichever has less. */
function forget(versions: Map<number, LogEntry[]>, run: ZeroRun): void {
  const endPage = run.firstPage + run.pageCount;
  if (run.pageCount < versions.size) {
    for (let page = run.firstPage; page < endPage; page++) versions.delete(page);
    return;
  }
  for (const page of versions.keys()) if (page >= run.firstPage && page < endPage) versions.delete(page);
}

/** The last of the entries whose slot has the page that it names. */
async function newestWhole(
  place: OverlayPlace,
  page: number,
  entries: readonly LogEntry[],
): Promise<LogEntry | undefined> {
  const { medium, layout } = place;
  const sealed = new Uint8Array(PAGE_BYTES);
  for (const entry of entries.toReversed()) {
    await medium.read(sealed, layout.slotsOffset + entry.slot * PAGE_BYTES);
    if (layout.pageSealer.open(sealed, pagePlace(page), entry.seal) !== undefined) return entry;
  }
  return undefined;
}

function applyRecord(tables: OverlayTables, record: LogRecord): void {
  for (const { firstPage, pageCount } of record.zeros) {
    tables.pages.setZero(firstPage, pageCount, () => undefined);
  }
  for (const { page, slot, seal } of record.stored) {
    tables.pages.setSlot(page, slot);
    tables.slots.sealOf(slot).set(seal);
  }
}

function checkRecord(record: LogRecord, pageTotal: number, slotCount: number): void {
  const isInside =
    record.stored.every(({ page, slot }) => page < pageTotal && slot < slotCount) &&
    record.zeros.every(({ firstPage, pageCount }) => firstPage + pageCount <= pageTotal);
  if (isInside) return;
  throw new LambdaImgError(
    "OVERLAY_INVALID",
    "overlay: a record of the log names a page or slot that is not there",
  );
}

function twiceTaken(page: number, slot: number): LambdaImgError {
  return new LambdaImgError(
    "OVERLAY_CORRUPT",
    `overlay: page ${page}: its slot ${slot} has another page, too: the file was changed or damaged`,
    { details: { page, slot } },
  );
}
