/** The log of an overlay file: sealed records, each bound to the one before it. docs/format/overlay.md, "Log". */
import { assert, LambdaImgError } from "../base/error.ts";
import { equalBytes, viewOf } from "../base/bytes.ts";
import { MIB } from "../base/units.ts";
import { SEAL_BYTES } from "../crypto/overlay-seal.ts";
import {
  CHAIN_BYTES,
  LOG_GROWTH_BYTES,
  RECORD_STORED_MAX,
  RECORD_ZEROS_MAX,
  type OverlayLayout,
  type OverlayMark,
} from "./_overlay-header.ts";
import type { OverlayMedium } from "./_overlay-medium.ts";

/** What a record says: pages that got slots, and pages that became zero; no page twice. */
export interface LogRecord {
  readonly stored: readonly LogEntry[];
  readonly zeros: readonly ZeroRun[];
}

/** A page, its slot, and the seal of what is in the slot. */
export interface LogEntry {
  readonly page: number;
  readonly slot: number;
  readonly seal: Uint8Array;
}

/** Pages that became zero. */
export interface ZeroRun {
  readonly firstPage: number;
  readonly pageCount: number;
}

const LENGTH_BYTES = 4;
const RECORD_HEAD_BYTES: number = LENGTH_BYTES + SEAL_BYTES;
const COUNTS_BYTES = 8;
const ENTRY_BYTES: number = 8 + SEAL_BYTES;
const ZERO_RUN_BYTES = 8;
const PAYLOAD_BYTES_MAX: number =
  COUNTS_BYTES + RECORD_STORED_MAX * ENTRY_BYTES + RECORD_ZEROS_MAX * ZERO_RUN_BYTES;
const READ_BYTES: number = MIB;

/** Appends records to an area, and reads them back. One call at a time. */
export class OverlayLog {
  readonly #medium: OverlayMedium;
  readonly #layout: OverlayLayout;
  #generation: number;
  #endBytes = 0;
  #chain: Uint8Array;
  #limitBytes: number;

  /** An empty log of this generation. */
  constructor(medium: OverlayMedium, layout: OverlayLayout, generation: number) {
    this.#medium = medium;
    this.#layout = layout;
    this.#generation = generation;
    this.#chain = startOfChain(generation);
    this.#limitBytes = LOG_GROWTH_BYTES;
  }

  /** Where the log ends: what a mark has besides its number. */
  get end(): Omit<OverlayMark, "number"> {
    return { generation: this.#generation, endBytes: this.#endBytes, chain: this.#chain };
  }

  /** True where a new generation is to be begun before this record. */
  isFullFor(record: LogRecord): boolean {
    return this.#endBytes + recordBytes(record) > this.#limitBytes;
  }

  /** The checkpoint ends here: what comes may be three times as long, and LOG_GROWTH_BYTES at least. */
  endCheckpoint(): void {
    this.#limitBytes = Math.min(3 * this.#endBytes + LOG_GROWTH_BYTES, this.#layout.areaBytes);
  }

  /** Writes the record after the last one. Where that fails the log ends where it ended. @throws OVERLAY_FULL, OVERLAY_UNAVAILABLE */
  async append(record: LogRecord): Promise<void> {
    const bytes = new Uint8Array(recordBytes(record));
    const payload = encodePayload(record);
    viewOf(bytes).setUint32(0, payload.length, true);
    const seal = bytes.subarray(LENGTH_BYTES, RECORD_HEAD_BYTES);
    const place = recordPlace(this.#chain, payload.length);
    this.#layout.tableSealer.seal(payload, place, { target: bytes.subarray(RECORD_HEAD_BYTES), seal });
    assert(this.#endBytes + bytes.length <= this.#layout.areaBytes, "a log stays in its area");
    await this.#medium.write(bytes, this.#areaOffset + this.#endBytes);
    this.#endBytes += bytes.length;
    this.#chain = seal.slice(SEAL_BYTES - CHAIN_BYTES);
  }

  /**
   * Reads all records that are whole, from the start of the area. `onRecord` hears of each, and whether the mark
   * covers it. The log then ends after the last one.
   * @throws OVERLAY_CORRUPT where one that the mark covers is missing or was changed
   */
  async replay(mark: OverlayMark, onRecord: (record: LogRecord, isMarked: boolean) => void): Promise<void> {
    const reader = new AreaReader(this.#medium, this.#areaOffset, this.#layout.areaBytes);
    let isMarked = true;
    for (;;) {
      if (this.#endBytes === mark.endBytes && equalBytes(this.#chain, mark.chain)) isMarked = false;
      const record = await this.#readRecord(reader);
      if (record === undefined) break;
      onRecord(record, isMarked);
    }
    if (isMarked) throw corruptLog(this.#endBytes);
  }

  async #readRecord(reader: AreaReader): Promise<LogRecord | undefined> {
    const head = await reader.read(this.#endBytes, RECORD_HEAD_BYTES);
    if (head === undefined) return undefined;
    const payloadBytes = viewOf(head).getUint32(0, true);
    if (payloadBytes < COUNTS_BYTES || payloadBytes > PAYLOAD_BYTES_MAX) return undefined;
    const seal = head.slice(LENGTH_BYTES);
    const sealed = await reader.read(this.#endBytes + RECORD_HEAD_BYTES, payloadBytes);
    if (sealed === undefined) return undefined;
    const place = recordPlace(this.#chain, payloadBytes);
    const payload = this.#layout.tableSealer.open(sealed, place, seal);
    if (payload === undefined) return undefined;
    this.#endBytes += RECORD_HEAD_BYTES + payloadBytes;
    this.#chain = seal.subarray(SEAL_BYTES - CHAIN_BYTES);
    return decodePayload(payload);
  }

  get #areaOffset(): number {
    return this.#layout.areaOffsets[this.#generation % 2 === 0 ? 0 : 1];
  }
}

/** Reads an area in pieces, onwards. */
class AreaReader {
  readonly #medium: OverlayMedium;
  readonly #offsetBytes: number;
  readonly #sizeBytes: number;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;

  constructor(medium: OverlayMedium, offsetBytes: number, sizeBytes: number) {
    this.#medium = medium;
    this.#offsetBytes = offsetBytes;
    this.#sizeBytes = sizeBytes;
  }

  /** A view that is good until the next call; `undefined` where the area ends before. */
  async read(start: number, sizeBytes: number): Promise<Uint8Array | undefined> {
    if (start + sizeBytes > this.#sizeBytes) return undefined;
    if (start + sizeBytes > this.#windowStart + this.#window.length) {
      this.#window = new Uint8Array(Math.min(READ_BYTES, this.#sizeBytes - start));
      this.#windowStart = start;
      await this.#medium.read(this.#window, this.#offsetBytes + start);
    }
    return this.#window.subarray(start - this.#windowStart, start - this.#windowStart + sizeBytes);
  }
}

/** What stands for the record before the first one. */
function startOfChain(generation: number): Uint8Array {
  const chain = new Uint8Array(CHAIN_BYTES);
  viewOf(chain).setBigUint64(0, BigInt(generation), true);
  return chain;
}

/** What a record is sealed with: the tag of the one before it, and its length. */
function recordPlace(chain: Uint8Array, payloadBytes: number): Uint8Array {
  const place = new Uint8Array(CHAIN_BYTES + LENGTH_BYTES);
  place.set(chain);
  viewOf(place).setUint32(CHAIN_BYTES, payloadBytes, true);
  return place;
}

function recordBytes(record: LogRecord): number {
  const { stored, zeros } = record;
  return RECORD_HEAD_BYTES + COUNTS_BYTES + stored.length * ENTRY_BYTES + zeros.length * ZERO_RUN_BYTES;
}

function encodePayload(record: LogRecord): Uint8Array {
  const payload = new Uint8Array(recordBytes(record) - RECORD_HEAD_BYTES);
  const view = viewOf(payload);
  view.setUint32(0, record.stored.length, true);
  view.setUint32(4, record.zeros.length, true);
  let at = COUNTS_BYTES;
  for (const { page, slot, seal } of record.stored) {
    view.setUint32(at, page, true);
    view.setUint32(at + 4, slot, true);
    payload.set(seal, at + 8);
    at += ENTRY_BYTES;
  }
  for (const { firstPage, pageCount } of record.zeros) {
    view.setUint32(at, firstPage, true);
    view.setUint32(at + 4, pageCount, true);
    at += ZERO_RUN_BYTES;
  }
  return payload;
}

/** Who has sealed it has the key, and so is this program; its counts still must fit. */
function decodePayload(payload: Uint8Array): LogRecord {
  const view = viewOf(payload);
  const storedCount = view.getUint32(0, true);
  const zeroCount = view.getUint32(4, true);
  if (payload.length !== COUNTS_BYTES + storedCount * ENTRY_BYTES + zeroCount * ZERO_RUN_BYTES) {
    throw new LambdaImgError(
      "OVERLAY_INVALID",
      "overlay: a record of the log has not the length that it tells",
    );
  }
  const stored: LogEntry[] = [];
  let at = COUNTS_BYTES;
  for (let index = 0; index < storedCount; index++, at += ENTRY_BYTES) {
    stored.push({
      page: view.getUint32(at, true),
      slot: view.getUint32(at + 4, true),
      seal: payload.subarray(at + 8, at + ENTRY_BYTES),
    });
  }
  const zeros: ZeroRun[] = [];
  for (let index = 0; index < zeroCount; index++, at += ZERO_RUN_BYTES) {
    zeros.push({ firstPage: view.getUint32(at, true), pageCount: view.getUint32(at + 4, true) });
  }
  return { stored, zeros };
}

function corruptLog(endBytes: number): LambdaImgError {
  return new LambdaImgError(
    "OVERLAY_CORRUPT",
    `overlay: the log at byte ${endBytes} is not what was written there: the file was changed or damaged`,
    { details: { endBytes } },
  );
}
