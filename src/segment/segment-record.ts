/** What is kept of a layer that was converted: enough to use it again unread. docs/format/record.md, "Segments". */
import { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { concatBytes, equalBytes, viewOf } from "../base/bytes.ts";
import { assert, LambdaImgError } from "../base/error.ts";
import { CHUNK_BYTES, DIGEST_BYTES } from "../chunk/chunk.ts";
import { PackedEntries } from "./packed-entries.ts";

/** A segment and its stored chunks. */
export interface SegmentContent {
  readonly chunkCount: number;
  /** Ordinals of the chunks that are not zero, ascending. */
  readonly ordinals: Uint32Array;
  /** 32 bytes of name, key and plain digest for each of `ordinals`, in the same order. Keys and digests are secret. */
  readonly names: Uint8Array;
  readonly keys: Uint8Array;
  readonly plainDigests: Uint8Array;
  readonly entries: PackedEntries;
}

/** The two parts of a record. */
export interface SegmentParts {
  readonly clear: Uint8Array;
  readonly secrets: Uint8Array;
}

const MAGIC = new TextEncoder().encode("LIMGSEGM");
const VERSION = 1;
const HEADER_BYTES = 24;
const TABLE_ENTRY_BYTES = 4 + DIGEST_BYTES;

/** The record's parts. */
export function encodeSegment(content: SegmentContent): SegmentParts {
  const { ordinals, names, keys, plainDigests } = content;
  for (const each of [names, keys, plainDigests])
    assert(each.length === ordinals.length * DIGEST_BYTES, "each stored chunk has its digests");
  const clear = new Uint8Array(HEADER_BYTES + ordinals.length * TABLE_ENTRY_BYTES);
  const view = viewOf(clear);
  clear.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, CHUNK_BYTES, true);
  view.setUint32(16, content.chunkCount, true);
  view.setUint32(20, ordinals.length, true);
  ordinals.forEach((ordinal, position) => {
    const at = HEADER_BYTES + position * TABLE_ENTRY_BYTES;
    view.setUint32(at, ordinal, true);
    clear.set(names.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES), at + 4);
  });
  const { length, bytes } = content.entries;
  return { clear, secrets: concatBytes(keys, plainDigests, encodeCount(length), bytes) };
}

/**
 * How long the clear part of a record is; the record may be anything.
 * @throws STORE_INVALID
 */
export function clearBytesOf(record: Uint8Array): number {
  if (record.length < HEADER_BYTES) throw invalid("too short");
  const view = viewOf(record);
  if (!equalBytes(record.subarray(0, MAGIC.length), MAGIC)) throw invalid("no segment record");
  if (view.getUint32(8, true) !== VERSION) throw invalid("another version");
  if (view.getUint32(12, true) !== CHUNK_BYTES) throw invalid("chunks of another size");
  const clearBytes = HEADER_BYTES + view.getUint32(20, true) * TABLE_ENTRY_BYTES;
  if (clearBytes > record.length) throw invalid("its table ends too early");
  return clearBytes;
}

/**
 * Reads the parts of a record whose seal fits. Arrays are fresh memory, but the entries stay in that of the secrets.
 * @throws STORE_INVALID
 */
export function decodeSegment({ clear, secrets }: SegmentParts): SegmentContent {
  const view = viewOf(clear);
  const chunkCount = view.getUint32(16, true);
  const storedCount = view.getUint32(20, true);
  const ordinals = new Uint32Array(storedCount);
  const names = new Uint8Array(storedCount * DIGEST_BYTES);
  let least = 0;
  for (let position = 0; position < storedCount; position++) {
    const at = HEADER_BYTES + position * TABLE_ENTRY_BYTES;
    const ordinal = view.getUint32(at, true);
    if (ordinal < least || ordinal >= chunkCount) throw invalid("ordinals must ascend below the chunk count");
    least = ordinal + 1;
    ordinals[position] = ordinal;
    names.set(clear.subarray(at + 4, at + TABLE_ENTRY_BYTES), position * DIGEST_BYTES);
  }
  const digestsBytes = storedCount * DIGEST_BYTES;
  if (secrets.length < 2 * digestsBytes) throw invalid("its keys end too early");
  const counted = secrets.subarray(2 * digestsBytes);
  const entryCount = new BinaryReader(counted).number();
  // A number has one form, so this is how long the one just read is.
  const entries = PackedEntries.read(entryCount, counted.subarray(encodeCount(entryCount).length));
  return {
    chunkCount,
    ordinals,
    names,
    keys: secrets.slice(0, digestsBytes),
    plainDigests: secrets.slice(digestsBytes, 2 * digestsBytes),
    entries,
  };
}

function encodeCount(count: number): Uint8Array {
  const writer = new BinaryWriter();
  writer.number(count);
  return writer.finish();
}

function invalid(why: string): LambdaImgError {
  return new LambdaImgError("STORE_INVALID", `segment record: not what was written: ${why}`);
}
