/** The bytes of a manifest: header, chunk table, sealed part. No keys here: crypto/manifest-seal.ts has them. */
import { assert, LambdaImgError } from "../base/error.ts";
import { concatBytes, equalBytes, viewOf } from "../base/bytes.ts";
import { DISK_BYTES_MAX, MANIFEST_BYTES_MAX } from "../base/limit.ts";
import { CHUNK_BYTES, DIGEST_BYTES } from "../chunk/chunk.ts";
import { encodeImageRecord, parseImageRecord, type ImageRecord } from "./image-record.ts";
import type { ChunkTable, ManifestContent } from "./manifest.ts";

/** Bytes before `contentMac`: what the content MAC covers of the header. */
export const MAC_OFFSET = 28;
/** Bytes before the chunk table. */
export const HEADER_BYTES: number = MAC_OFFSET + DIGEST_BYTES;
/** The tag of AES-256-GCM at the end of the sealed part. */
export const TAG_BYTES = 16;

/** Views of a manifest's parts. */
export interface ManifestParts {
  readonly table: ChunkTable;
  readonly contentMac: Uint8Array;
  /** All before the sealed part: authenticated, not encrypted. */
  readonly clear: Uint8Array;
  /** Ciphertext and tag. */
  readonly sealed: Uint8Array;
}

const MAGIC = new TextEncoder().encode("LIMGMFST");
const VERSION = 1;
const ENTRY_BYTES = 4 + DIGEST_BYTES;
const LENGTH_BYTES = 4;
const CHUNK_COUNT_MAX = Math.floor(DISK_BYTES_MAX / CHUNK_BYTES);

/**
 * Reads the chunk table without a key; the memory is fresh. It says what the manifest claims: only a key
 * can tell that nobody changed it.
 * @throws MANIFEST_INVALID, MANIFEST_VERSION_UNSUPPORTED, DOCUMENT_TOO_LARGE
 */
export function decodeManifestTable(bytes: Uint8Array): ChunkTable {
  return decodeManifest(bytes).table;
}

/**
 * Takes a manifest apart. The table is in fresh memory, the rest are views.
 * @throws MANIFEST_INVALID, MANIFEST_VERSION_UNSUPPORTED, DOCUMENT_TOO_LARGE
 */
export function decodeManifest(bytes: Uint8Array): ManifestParts {
  const header = decodeHeader(bytes);
  const tableEnd = HEADER_BYTES + header.storedCount * ENTRY_BYTES;
  if (bytes.length !== tableEnd + header.sealedBytes) {
    throw invalid(`expected ${tableEnd + header.sealedBytes} bytes, found ${bytes.length}`);
  }
  const view = viewOf(bytes);
  const indexes = new Uint32Array(header.storedCount);
  const names = new Uint8Array(header.storedCount * DIGEST_BYTES);
  for (let position = 0; position < header.storedCount; position++) {
    const at = HEADER_BYTES + position * ENTRY_BYTES;
    indexes[position] = view.getUint32(at, true);
    names.set(bytes.subarray(at + 4, at + ENTRY_BYTES), position * DIGEST_BYTES);
  }
  const table = { diskChunkCount: header.diskChunkCount, indexes, names };
  const problem = problemOf(table);
  if (problem !== undefined) throw invalid(problem);
  return {
    table,
    contentMac: bytes.subarray(MAC_OFFSET, HEADER_BYTES),
    clear: bytes.subarray(0, tableEnd),
    sealed: bytes.subarray(tableEnd),
  };
}

/** Header and table for a sealed part of `sealedBytes` (with its tag); the content MAC is left zero. */
export function encodeClear(table: ChunkTable, sealedBytes: number): Uint8Array {
  const storedCount = table.indexes.length;
  assert(table.names.length === storedCount * DIGEST_BYTES, "each stored chunk has a name");
  const problem = problemOf(table);
  assert(problem === undefined, `manifest: ${problem ?? ""}`);
  const bytes = new Uint8Array(HEADER_BYTES + storedCount * ENTRY_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint16(8, VERSION, true);
  view.setUint32(12, CHUNK_BYTES, true);
  view.setUint32(16, table.diskChunkCount, true);
  view.setUint32(20, storedCount, true);
  view.setUint32(24, sealedBytes, true);
  table.indexes.forEach((chunkIndex, position) => {
    const at = HEADER_BYTES + position * ENTRY_BYTES;
    view.setUint32(at, chunkIndex, true);
    bytes.set(table.names.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES), at + 4);
  });
  return bytes;
}

/**
 * The plaintext of the sealed part: keys in table order, then the image record. It is secret.
 * @throws DOCUMENT_TOO_LARGE
 */
export function encodeSecrets(content: Pick<ManifestContent, "indexes" | "keys" | "image">): Uint8Array {
  assert(content.keys.length === content.indexes.length * DIGEST_BYTES, "each stored chunk has a key");
  const record = encodeImageRecord(content.image);
  const length = new Uint8Array(LENGTH_BYTES);
  viewOf(length).setUint32(0, record.length, true);
  return concatBytes(content.keys, length, record);
}

/**
 * Reads the plaintext of the sealed part; `keys` is a view of it.
 * @throws MANIFEST_INVALID, DOCUMENT_TOO_LARGE
 */
export function decodeSecrets(
  secrets: Uint8Array,
  storedCount: number,
): { readonly keys: Uint8Array; readonly image: ImageRecord } {
  const keysEnd = storedCount * DIGEST_BYTES;
  const recordStart = keysEnd + LENGTH_BYTES;
  if (secrets.length < recordStart) throw invalid("the sealed part ends before the image record");
  const recordBytes = viewOf(secrets).getUint32(keysEnd, true);
  if (secrets.length !== recordStart + recordBytes) {
    throw invalid(
      `image record: expected ${recordBytes} bytes, found ${secrets.length - recordStart} to the end`,
    );
  }
  return { keys: secrets.subarray(0, keysEnd), image: parseImageRecord(secrets.subarray(recordStart)) };
}

interface Header {
  readonly diskChunkCount: number;
  readonly storedCount: number;
  readonly sealedBytes: number;
}

function decodeHeader(bytes: Uint8Array): Header {
  if (bytes.length > MANIFEST_BYTES_MAX) {
    throw new LambdaImgError(
      "DOCUMENT_TOO_LARGE",
      `manifest too large: expected at most ${MANIFEST_BYTES_MAX} bytes, found ${bytes.length}`,
      { details: { limit: MANIFEST_BYTES_MAX, found: bytes.length } },
    );
  }
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) throw invalid("it does not start with LIMGMFST");
  if (bytes.length < HEADER_BYTES)
    throw invalid(`header: expected ${HEADER_BYTES} bytes, found ${bytes.length}`);
  const view = viewOf(bytes);
  const version = view.getUint16(8, true);
  if (version !== VERSION) {
    throw new LambdaImgError(
      "MANIFEST_VERSION_UNSUPPORTED",
      `manifest: unsupported version: expected ${VERSION}, found ${version}`,
      { details: { expected: VERSION, found: version } },
    );
  }
  if (view.getUint16(10, true) !== 0) throw invalid("offset 10: reserved bytes must be zero");
  const chunkBytes = view.getUint32(12, true);
  if (chunkBytes !== CHUNK_BYTES) throw invalid(`chunk size: expected ${CHUNK_BYTES}, found ${chunkBytes}`);
  const header = {
    diskChunkCount: view.getUint32(16, true),
    storedCount: view.getUint32(20, true),
    sealedBytes: view.getUint32(24, true),
  };
  const sealedBytesMin = header.storedCount * DIGEST_BYTES + LENGTH_BYTES + TAG_BYTES;
  if (header.storedCount > header.diskChunkCount) {
    throw invalid(`stored chunks: expected at most ${header.diskChunkCount}, found ${header.storedCount}`);
  }
  if (header.sealedBytes < sealedBytesMin) {
    throw invalid(`sealed part: expected at least ${sealedBytesMin} bytes, found ${header.sealedBytes}`);
  }
  return header;
}

/** The rule that a table breaks, or `undefined`. */
function problemOf(table: ChunkTable): string | undefined {
  const { diskChunkCount, indexes } = table;
  if (diskChunkCount < 1 || diskChunkCount > CHUNK_COUNT_MAX) {
    return `chunks of the disk image: expected 1 to ${CHUNK_COUNT_MAX}, found ${diskChunkCount}`;
  }
  let before = -1;
  for (const [position, chunkIndex] of indexes.entries()) {
    if (chunkIndex <= before) {
      return `entry ${position}: expected a chunk index above ${before}, found ${chunkIndex}`;
    }
    before = chunkIndex;
  }
  return before < diskChunkCount
    ? undefined
    : `expected chunk indexes below ${diskChunkCount}, found ${before}`;
}

function invalid(rule: string): LambdaImgError {
  return new LambdaImgError("MANIFEST_INVALID", `invalid manifest: ${rule}`);
}
