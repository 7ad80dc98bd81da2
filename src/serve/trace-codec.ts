/** A trace as bytes. docs/format/trace.md. */
import { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { assert, LambdaImgError } from "../base/error.ts";
import { TRACE_CHUNK_COUNT_MAX } from "../base/limit.ts";
import { findChunk, type ChunkTable } from "../manifest/manifest.ts";

const VERSION = 1;

/** The chunk indexes as the secret part of a record: 1 to TRACE_CHUNK_COUNT_MAX of them, all different. */
export function encodeTrace(chunkIndexes: readonly number[]): Uint8Array {
  const count = chunkIndexes.length;
  assert(count > 0 && count <= TRACE_CHUNK_COUNT_MAX, "a trace has chunks, and not too many");
  const writer = new BinaryWriter();
  writer.number(VERSION);
  writer.number(count);
  let before = 0;
  for (const chunkIndex of chunkIndexes) {
    writer.signed(chunkIndex - before);
    before = chunkIndex;
  }
  return writer.finish();
}

/**
 * The chunk indexes of a trace, each of which is in the table.
 * @throws STORE_INVALID
 */
export function decodeTrace(secrets: Uint8Array, table: ChunkTable): readonly number[] {
  const reader = new BinaryReader(secrets);
  const version = reader.number();
  if (version !== VERSION) throw invalid(`expected version ${VERSION}, found ${version}`);
  const count = reader.number();
  if (count === 0 || count > TRACE_CHUNK_COUNT_MAX) {
    throw invalid(`expected 1 to ${TRACE_CHUNK_COUNT_MAX} chunks, found ${count}`);
  }
  const found = new Set<number>();
  for (let chunkIndex = 0; found.size < count;) {
    chunkIndex += reader.signed();
    if (findChunk(table, chunkIndex) < 0) throw invalid("expected chunks of the image, found another");
    if (found.has(chunkIndex)) throw invalid("expected each chunk once");
    found.add(chunkIndex);
  }
  if (!reader.isAtEnd) throw invalid("expected nothing behind the last chunk");
  return [...found];
}

function invalid(why: string): LambdaImgError {
  return new LambdaImgError("STORE_INVALID", `trace: ${why}`);
}
