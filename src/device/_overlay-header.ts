/** The header of an overlay file, its marks, and where things lie in it. docs/format/overlay.md. */
import { LambdaImgError } from "../base/error.ts";
import { equalBytes, fromHex, isAllZero, toHex, viewOf } from "../base/bytes.ts";
import { digestHex, type Digest } from "../base/digest.ts";
import { DISK_BYTES_MAX } from "../base/limit.ts";
import { alignUp, divCeil, MIB } from "../base/units.ts";
import {
  makeOverlaySalt,
  overlaySealers,
  SEAL_BYTES,
  type OverlayKey,
  type OverlaySealer,
} from "../crypto/overlay-seal.ts";
import type { OverlayMedium } from "./_overlay-medium.ts";
import { PAGE_BYTES } from "./overlay-store.ts";

const MAGIC = "LIMGOVLY";
const VERSION = 1;
const SALT_OFFSET = 64;
const SEAL_OFFSET = 96;
const HEADER_BYTES = PAGE_BYTES;
const MARK_CONTENT_BYTES = 40;
const MARK_BYTES: number = SEAL_BYTES + MARK_CONTENT_BYTES;
const MARK_OFFSETS: readonly [number, number] = [PAGE_BYTES, 2 * PAGE_BYTES];
const MARK_PLACE: Uint8Array = new TextEncoder().encode("overlay mark");
const AREAS_OFFSET: number = 3 * PAGE_BYTES;

/** Slots beyond those that pages may fill: what is rewritten goes to a new slot before the old one is free. */
export const SPARE_SLOTS = 1024;
/** Bytes of chain: the tag of the record before. */
export const CHAIN_BYTES = 16;
/** Most entries of one record of a log. */
export const RECORD_STORED_MAX = 1024;
export const RECORD_ZEROS_MAX = 4096;
/** A log may grow by this and three times its checkpoint before a new one is begun. */
export const LOG_GROWTH_BYTES: number = 4 * MIB;

/** What an overlay is made for. */
export interface OverlayIdentity {
  readonly key: OverlayKey;
  /** Of the disk image below: pages that were not written are read from it. */
  readonly diskDigest: Digest;
  /** Of the device; whole pages. */
  readonly sizeBytes: number;
}

/** Where things lie in an overlay file, and what opens them. */
export interface OverlayLayout {
  readonly pageCount: number;
  /** Pages that may be stored at once. */
  readonly storedMax: number;
  /** Of the two areas for logs, by the parity of the generation. */
  readonly areaOffsets: readonly [number, number];
  readonly areaBytes: number;
  readonly slotsOffset: number;
  readonly pageSealer: OverlaySealer;
  readonly tableSealer: OverlaySealer;
}

/** How far a log is known to be durable. */
export interface OverlayMark {
  /** Counts marks. */
  readonly number: number;
  /** Counts checkpoints; its parity says which area. */
  readonly generation: number;
  /** From the start of the area. */
  readonly endBytes: number;
  /** Of the last record, CHAIN_BYTES. */
  readonly chain: Uint8Array;
}

/** The header of a new overlay file. `maxBytes` bounds the pages that are stored at once. */
export function encodeHeader(identity: OverlayIdentity, maxBytes: number): Uint8Array {
  const { key, sizeBytes, diskDigest } = identity;
  const header = new Uint8Array(HEADER_BYTES);
  header.set(new TextEncoder().encode(MAGIC));
  const view = viewOf(header);
  view.setUint16(8, VERSION, true);
  view.setUint32(12, PAGE_BYTES, true);
  view.setBigUint64(16, BigInt(sizeBytes), true);
  view.setUint32(24, Math.floor(Math.min(maxBytes, sizeBytes) / PAGE_BYTES), true);
  header.set(fromHex(digestHex(diskDigest)), 32);
  const salt = makeOverlaySalt();
  header.set(salt, SALT_OFFSET);
  const seal = header.subarray(SEAL_OFFSET, SEAL_OFFSET + SEAL_BYTES);
  const nothing = new Uint8Array(0);
  overlaySealers(key, salt).tables.seal(nothing, header.subarray(0, SEAL_OFFSET), { target: nothing, seal });
  return header;
}

/**
 * Reads the header of an overlay file and compares it with what is expected.
 * @throws OVERLAY_INVALID, OVERLAY_VERSION_UNSUPPORTED, OVERLAY_UNAVAILABLE
 */
export async function readHeader(
  medium: OverlayMedium,
  identity: OverlayIdentity,
  path: string,
): Promise<OverlayLayout> {
  const header = new Uint8Array(HEADER_BYTES);
  await medium.read(header, 0);
  const view = viewOf(header);
  const sizeBytes = Number(view.getBigUint64(16, true));
  const storedMax = view.getUint32(24, true);
  if (toHex(header.subarray(0, 8)) !== toHex(new TextEncoder().encode(MAGIC))) {
    throw overlayInvalid(path, "it is no overlay");
  }
  const version = view.getUint16(8, true);
  if (version !== VERSION) {
    throw new LambdaImgError(
      "OVERLAY_VERSION_UNSUPPORTED",
      `${path}: overlay of another version: expected ${VERSION}, found ${version}`,
      { details: { path, expected: VERSION, found: version } },
    );
  }
  const isPadded = [header.subarray(10, 12), header.subarray(28, 32), header.subarray(136)].every(isAllZero);
  if (!isPadded) throw overlayInvalid(path, "expected zeros in the reserved bytes");
  if (view.getUint32(12, true) !== PAGE_BYTES) throw overlayInvalid(path, "expected pages of 4096 bytes");
  if (sizeBytes % PAGE_BYTES !== 0 || sizeBytes > DISK_BYTES_MAX || storedMax > sizeBytes / PAGE_BYTES) {
    throw overlayInvalid(path, "its sizes are not those of an overlay");
  }
  const found = header.subarray(32, 64);
  // Before the seal is looked at: the key may depend on the image, and "another image" says more than "another key".
  if (!equalBytes(found, fromHex(digestHex(identity.diskDigest))) || sizeBytes !== identity.sizeBytes) {
    throw overlayInvalid(
      path,
      `it lies over another disk image: expected ${identity.diskDigest} of ${identity.sizeBytes} bytes, found sha256:${toHex(found)} of ${sizeBytes}`,
    );
  }
  const sealers = overlaySealers(identity.key, header.subarray(SALT_OFFSET, SEAL_OFFSET));
  const seal = header.subarray(SEAL_OFFSET, SEAL_OFFSET + SEAL_BYTES);
  if (sealers.tables.open(new Uint8Array(0), header.subarray(0, SEAL_OFFSET), seal) === undefined) {
    throw overlayInvalid(path, "it does not open with this key: either the key is another or it was changed");
  }
  return layoutOf(sizeBytes / PAGE_BYTES, storedMax, sealers);
}

/** Offsets follow from the two counts. The areas are holes but for what is written of them. */
function layoutOf(
  pageCount: number,
  storedMax: number,
  sealers: { readonly pages: OverlaySealer; readonly tables: OverlaySealer },
): OverlayLayout {
  const areaBytes = alignUp(3 * checkpointBytesMax(pageCount, storedMax) + LOG_GROWTH_BYTES, PAGE_BYTES);
  return {
    pageCount,
    storedMax,
    areaOffsets: [AREAS_OFFSET, AREAS_OFFSET + areaBytes],
    areaBytes,
    slotsOffset: AREAS_OFFSET + 2 * areaBytes,
    pageSealer: sealers.pages,
    tableSealer: sealers.tables,
  };
}

/** 48 bytes a stored page, 8 a run of zero pages of which at most each second page begins one; 64 a record. */
function checkpointBytesMax(pageCount: number, storedMax: number): number {
  const runCount = divCeil(pageCount, 2);
  const recordCount = divCeil(storedMax, RECORD_STORED_MAX) + divCeil(runCount, RECORD_ZEROS_MAX);
  return 48 * storedMax + 8 * runCount + 64 * recordCount;
}

/** Writes the mark, not over the one before it: at any time one whole mark is durable. */
export async function writeMark(
  medium: OverlayMedium,
  sealer: OverlaySealer,
  mark: OverlayMark,
): Promise<void> {
  const content = new Uint8Array(MARK_CONTENT_BYTES);
  const view = viewOf(content);
  view.setBigUint64(0, BigInt(mark.number), true);
  view.setBigUint64(8, BigInt(mark.generation), true);
  view.setBigUint64(16, BigInt(mark.endBytes), true);
  content.set(mark.chain, 24);
  const bytes = new Uint8Array(MARK_BYTES);
  const seal = bytes.subarray(0, SEAL_BYTES);
  sealer.seal(content, MARK_PLACE, { target: bytes.subarray(SEAL_BYTES), seal });
  await medium.write(bytes, MARK_OFFSETS[mark.number % 2 === 0 ? 0 : 1]);
}

/**
 * Gives both marks their room. Where the place of one were a hole, a flush could be the first to find the disk full, after
 * which nothing is written any more.
 */
export async function reserveMarks(medium: OverlayMedium): Promise<void> {
  for (const offsetBytes of MARK_OFFSETS) await medium.write(new Uint8Array(MARK_BYTES), offsetBytes);
}

/** The newest mark. @throws OVERLAY_INVALID where there is none, OVERLAY_UNAVAILABLE */
export async function readMark(
  medium: OverlayMedium,
  layout: OverlayLayout,
  path: string,
): Promise<OverlayMark> {
  let newest: OverlayMark | undefined;
  for (const offsetBytes of MARK_OFFSETS) {
    const bytes = new Uint8Array(MARK_BYTES);
    await medium.read(bytes, offsetBytes);
    const seal = bytes.subarray(0, SEAL_BYTES);
    const content = layout.tableSealer.open(bytes.subarray(SEAL_BYTES), MARK_PLACE, seal);
    if (content === undefined) continue; // Torn by a crash, or not written yet; the other one is whole then.
    const view = viewOf(content);
    const number = Number(view.getBigUint64(0, true));
    if (newest !== undefined && newest.number > number) continue;
    newest = {
      number,
      generation: Number(view.getBigUint64(8, true)),
      endBytes: Number(view.getBigUint64(16, true)),
      chain: content.subarray(24),
    };
  }
  if (newest === undefined) throw overlayInvalid(path, "it has no mark that opens");
  return newest;
}

/** A file that is no overlay, or not the one that is asked for. */
export function overlayInvalid(path: string, rule: string): LambdaImgError {
  return new LambdaImgError("OVERLAY_INVALID", `${path}: invalid overlay: ${rule}`, { details: { path } });
}
