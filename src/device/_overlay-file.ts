/**
 * An overlay on a medium that lasts. A page is never written over: it goes to a free slot, a record of the log then
 * says so, and its old slot is free once that record is durable. docs/format/overlay.md has the reasons.
 */
import { assert, LambdaImgError } from "../base/error.ts";
import { SEAL_BYTES } from "../crypto/overlay-seal.ts";
import {
  batchesOf,
  countNewPages,
  overlayClosed,
  overlayFull,
  pageOf,
  pagePlace,
  type PageBatch,
} from "./_overlay-change.ts";
import {
  RECORD_STORED_MAX,
  RECORD_ZEROS_MAX,
  writeMark,
  type OverlayLayout,
  type OverlayMark,
} from "./_overlay-header.ts";
import { OverlayLog, type LogEntry, type LogRecord } from "./_overlay-log.ts";
import type { OverlayMedium } from "./_overlay-medium.ts";
import { checkpointRecords, replayLog, type OverlayTables } from "./_overlay-replay.ts";
import { PAGE_BYTES, type OverlayStore, type PageChange, type PageRun } from "./overlay-store.ts";

/** A record that waits to be written with others; its pages are in their slots. */
interface PendingRecord {
  readonly record: LogRecord;
  /** Pages that were not stored before. */
  readonly newCount: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface OpenLog extends OverlayTables {
  readonly log: OverlayLog;
  readonly mark: OverlayMark;
}

/** Closes its medium. After a failed sync or mark it only reads: what is on the disk then is not known. */
export class FileOverlayStore implements OverlayStore {
  readonly pageCount: number;
  readonly maxBytes: number;
  readonly #medium: OverlayMedium;
  readonly #layout: OverlayLayout;
  readonly #tables: OverlayTables;
  #log: OverlayLog;
  #mark: OverlayMark;
  /** Pages on their way to their first slot. */
  #reservedCount = 0;
  /** Slots whose pages have moved, which a crash could still bring back. */
  #retired: number[] = [];
  #pending: PendingRecord[] = [];
  #isWriting = false;
  /** Calls that wait for a free slot. */
  #waiting: (() => void)[] = [];
  /** The last of the syncs and marks, which go one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #nextFlush: Promise<void> | undefined;
  #failure: unknown;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  /** Reads the tables, and repairs what a crash has left. @throws as openOverlayFile */
  static async open(
    medium: OverlayMedium,
    layout: OverlayLayout,
    mark: OverlayMark,
  ): Promise<FileOverlayStore> {
    const log = new OverlayLog(medium, layout, mark.generation);
    const tables = await replayLog({ medium, layout }, log, mark);
    const store = new FileOverlayStore(medium, layout, { ...tables, log, mark });
    // Slots may be reused, and records passed over be forgotten, only after what was found is durable.
    if (!tables.isMarked) await store.#beginGeneration();
    return store;
  }

  private constructor(medium: OverlayMedium, layout: OverlayLayout, found: OpenLog) {
    this.pageCount = layout.pageCount;
    this.maxBytes = layout.storedMax * PAGE_BYTES;
    this.#medium = medium;
    this.#layout = layout;
    this.#tables = found;
    this.#log = found.log;
    this.#mark = found.mark;
  }

  get storedBytes(): number {
    return this.#tables.pages.storedCount * PAGE_BYTES;
  }

  runAt(firstPage: number, endPage: number): PageRun {
    return this.#tables.pages.runAt(firstPage, endPage);
  }

  async read(firstPage: number, target: Uint8Array): Promise<void> {
    if (this.#isClosed) throw overlayClosed();
    const slots: number[] = [];
    for (let index = 0; index * PAGE_BYTES < target.length; index++) {
      const slot = this.#tables.pages.slotOf(firstPage + index);
      assert(slot !== undefined, "the page is stored");
      slots.push(slot);
    }
    const sealed = new Uint8Array(target.length);
    for (const { from, to, offsetBytes } of this.#pieces(slots)) {
      await this.#medium.read(sealed.subarray(from, to), offsetBytes);
    }
    for (const [index, slot] of slots.entries()) {
      const page = firstPage + index;
      const seal = this.#tables.slots.sealOf(slot);
      const plain = this.#layout.pageSealer.open(pageOf(sealed, index), pagePlace(page), seal);
      if (plain === undefined) throw corruptPage(page, slot);
      target.set(plain, index * PAGE_BYTES);
    }
  }

  async apply(changes: readonly PageChange[]): Promise<void> {
    this.#checkUsable();
    let owedCount = countNewPages(this, changes);
    if (this.#tables.pages.storedCount + this.#reservedCount + owedCount > this.#layout.storedMax) {
      throw overlayFull(this, owedCount);
    }
    this.#reservedCount += owedCount;
    try {
      for (const batch of batchesOf(changes)) owedCount -= await this.#applyBatch(batch);
    } finally {
      this.#reservedCount -= owedCount;
    }
  }

  async flush(): Promise<void> {
    this.#checkUsable();
    // A flush that waits for its turn will cover what has resolved by now.
    this.#nextFlush ??= this.#inTurn(async () => {
      this.#nextFlush = undefined;
      await this.#syncAndMark();
    });
    await this.#nextFlush;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      if (this.#failure === undefined) {
        await this.flush();
        // Twice, so that no mark of before is left: a file that was closed and then cut is not taken for an older one.
        await this.#inTurn(async () => {
          await this.#sync();
          await this.#setMark(this.#log.end);
          await this.#sync();
        });
      }
    } finally {
      this.#isClosed = true;
      await this.#medium.close();
    }
  }

  /** The number of pages that were not stored before. */
  async #applyBatch(batch: PageBatch): Promise<number> {
    const { pages, slots: slotTable } = this.#tables;
    const newCount = batch.stored.filter(({ page }) => pages.slotOf(page) === undefined).length;
    const slots = await this.#takeSlots(batch.stored.length);
    try {
      const sealed = new Uint8Array(slots.length * PAGE_BYTES);
      const stored: LogEntry[] = [];
      for (const [index, { page, plain }] of batch.stored.entries()) {
        const slot = slots[index];
        assert(slot !== undefined, "each page has its slot");
        const seal = new Uint8Array(SEAL_BYTES);
        this.#layout.pageSealer.seal(plain, pagePlace(page), { target: pageOf(sealed, index), seal });
        stored.push({ page, slot, seal });
      }
      for (const { from, to, offsetBytes } of this.#pieces(slots)) {
        await this.#medium.write(sealed.subarray(from, to), offsetBytes);
      }
      await this.#record({ stored, zeros: batch.zeros }, newCount);
    } catch (error) {
      for (const slot of slots) slotTable.release(slot);
      this.#wake();
      throw error;
    }
    return newCount;
  }

  async #takeSlots(count: number): Promise<readonly number[]> {
    for (;;) {
      this.#checkUsable();
      if (this.#tables.slots.freeCount >= count) return this.#tables.slots.take(count);
      if (this.#retired.length > 0) await this.flush();
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Resolves when the record is written; records that come while one is being written become one. */
  #record(record: LogRecord, newCount: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ record, newCount, resolve, reject });
      if (!this.#isWriting) void this.#writeRecords();
    });
  }

  /** Never rejects: the failure of a record goes to who waits for it. */
  async #writeRecords(): Promise<void> {
    this.#isWriting = true;
    while (this.#pending.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#append({
          stored: group.flatMap(({ record }) => record.stored),
          zeros: group.flatMap(({ record }) => record.zeros),
        });
        for (const pending of group) this.#commit(pending);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
      this.#wake();
    }
    this.#isWriting = false;
  }

  /** As many as fit one record. */
  #takeGroup(): readonly PendingRecord[] {
    let storedCount = 0;
    let zeroCount = 0;
    const end = this.#pending.findIndex(({ record }) => {
      storedCount += record.stored.length;
      zeroCount += record.zeros.length;
      return storedCount > RECORD_STORED_MAX || zeroCount > RECORD_ZEROS_MAX;
    });
    return this.#pending.splice(0, end < 0 ? this.#pending.length : end);
  }

  async #append(record: LogRecord): Promise<void> {
    this.#checkUsable();
    if (this.#log.isFullFor(record)) await this.#inTurn(() => this.#beginGeneration());
    await this.#log.append(record);
  }

  /** From here on readers see the change. */
  #commit({ record, newCount, resolve }: PendingRecord): void {
    const { pages, slots } = this.#tables;
    for (const { firstPage, pageCount } of record.zeros) {
      pages.setZero(firstPage, pageCount, (slot) => this.#retired.push(slot));
    }
    for (const { page, slot, seal } of record.stored) {
      const former = pages.setSlot(page, slot);
      if (former !== undefined) this.#retired.push(former);
      slots.sealOf(slot).set(seal);
    }
    this.#reservedCount -= newCount;
    resolve();
  }

  /** Makes what was written durable, then says so: the mark itself becomes durable with the next sync. */
  async #syncAndMark(): Promise<void> {
    this.#checkUsable();
    const end = this.#log.end;
    const isMarked = end.generation === this.#mark.generation && end.endBytes === this.#mark.endBytes;
    if (isMarked && this.#retired.length === 0) return;
    const retired = this.#takeRetired();
    await this.#sync();
    this.#release(retired);
    await this.#setMark(end);
  }

  /**
   * Writes the tables to the other area and goes on there. The first sync makes the last mark durable: until then a
   * crash could bring back the one before it, which may name the area that is now written over.
   */
  async #beginGeneration(): Promise<void> {
    const log = new OverlayLog(this.#medium, this.#layout, this.#log.end.generation + 1);
    await this.#sync();
    for (const record of checkpointRecords(this.#tables)) await log.append(record);
    log.endCheckpoint();
    const retired = this.#takeRetired();
    await this.#sync();
    await this.#setMark(log.end);
    this.#log = log;
    this.#release(retired);
  }

  async #setMark(end: Omit<OverlayMark, "number">): Promise<void> {
    const mark = { ...end, number: this.#mark.number + 1 };
    try {
      await writeMark(this.#medium, this.#layout.tableSealer, mark);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#mark = mark;
  }

  async #sync(): Promise<void> {
    try {
      await this.#medium.sync();
    } catch (error) {
      // The kernel reports a lost write once; a sync after it would succeed over bytes that are gone.
      throw this.#fail(error);
    }
  }

  #fail(error: unknown): unknown {
    this.#failure ??= error;
    this.#wake();
    return error;
  }

  #takeRetired(): readonly number[] {
    const retired = this.#retired;
    this.#retired = [];
    return retired;
  }

  #release(slots: readonly number[]): void {
    for (const slot of slots) this.#tables.slots.release(slot);
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const run = this.#turn.then(work);
    this.#turn = run.catch(() => undefined); // The failure goes to who waits for this run.
    return run;
  }

  /** Neighbouring slots are read and written at once. */
  *#pieces(slots: readonly number[]): Generator<{ from: number; to: number; offsetBytes: number }> {
    for (let from = 0; from < slots.length;) {
      const slot = slots[from] ?? 0;
      let to = from + 1;
      while (slots[to] === slot + to - from) to++;
      const offsetBytes = this.#layout.slotsOffset + slot * PAGE_BYTES;
      yield { from: from * PAGE_BYTES, to: to * PAGE_BYTES, offsetBytes };
      from = to;
    }
  }

  #checkUsable(): void {
    if (this.#isClosed) throw overlayClosed();
    if (this.#failure === undefined) return;
    throw new LambdaImgError(
      "OVERLAY_UNAVAILABLE",
      "overlay: it failed before, and can only be read until it is opened again",
      {
        cause: this.#failure,
      },
    );
  }
}

function corruptPage(page: number, slot: number): LambdaImgError {
  return new LambdaImgError(
    "OVERLAY_CORRUPT",
    `overlay: page ${page}: it is not what was written there: the file was changed or damaged`,
    { details: { page, slot } },
  );
}
