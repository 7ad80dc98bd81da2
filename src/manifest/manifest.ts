/** What a manifest says: which chunks a disk image has, the keys that open them, and the image it came from. */
import { assert } from "../base/error.ts";
import { CHUNK_BYTES, chunkNameAt, chunkNameBytes, DIGEST_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { ImageRecord } from "./image-record.ts";

/** The clear part: readable without a key. Chunks that are not listed are zero. */
export interface ChunkTable {
  /** Chunks of the disk image, zero chunks included. */
  readonly diskChunkCount: number;
  /** Chunk indexes of the stored chunks, strictly ascending. */
  readonly indexes: Uint32Array;
  /** 32 bytes of name for each of `indexes`, in the same order. */
  readonly names: Uint8Array;
}

/** All of a manifest. The keys are secret. */
export interface ManifestContent extends ChunkTable {
  /** 32 bytes of chunk key for each of `indexes`, in the same order. */
  readonly keys: Uint8Array;
  readonly image: ImageRecord;
}

/** Bytes of the disk image. */
export function diskBytes(table: ChunkTable): number {
  return table.diskChunkCount * CHUNK_BYTES;
}

/** The place of a chunk in the table, or -1 for a zero chunk. */
export function findChunk(table: ChunkTable, chunkIndex: number): number {
  let low = 0;
  let high = table.indexes.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = table.indexes[middle] ?? 0;
    if (found === chunkIndex) return middle;
    if (found < chunkIndex) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** The name of the chunk at a place in the table. */
export function tableChunkName(table: ChunkTable, position: number): ChunkName {
  assert(position >= 0 && position < table.indexes.length, "the place is in the table");
  return chunkNameAt(table.names, position * DIGEST_BYTES);
}

/** The names of all stored chunks in table order; a name comes as often as the disk image has the chunk. */
export function* tableChunkNames(table: ChunkTable): Generator<ChunkName> {
  for (let position = 0; position < table.indexes.length; position++) yield tableChunkName(table, position);
}

/** Collects the chunks of a disk image in any order; what is never set is zero. */
export class ManifestBuilder {
  readonly #diskChunkCount: number;
  readonly #stored: Uint8Array;
  readonly #names: Uint8Array;
  readonly #keys: Uint8Array;

  constructor(diskChunkCount: number) {
    this.#diskChunkCount = diskChunkCount;
    this.#stored = new Uint8Array(diskChunkCount);
    this.#names = new Uint8Array(diskChunkCount * DIGEST_BYTES);
    this.#keys = new Uint8Array(diskChunkCount * DIGEST_BYTES);
  }

  /** Says what a chunk is stored as; said again, the last holds. Name and key are copied. */
  set(chunkIndex: number, chunk: { readonly name: ChunkName; readonly key: Uint8Array }): void {
    assert(chunkIndex >= 0 && chunkIndex < this.#diskChunkCount, `chunk ${chunkIndex} is in the disk image`);
    assert(chunk.key.length === DIGEST_BYTES, "a chunk key has 32 bytes");
    this.#stored[chunkIndex] = 1;
    this.#names.set(chunkNameBytes(chunk.name), chunkIndex * DIGEST_BYTES);
    this.#keys.set(chunk.key, chunkIndex * DIGEST_BYTES);
  }

  /** The content, in memory of its own. */
  finish(image: ImageRecord): ManifestContent {
    const indexes = Uint32Array.from(storedIndexes(this.#stored));
    const names = new Uint8Array(indexes.length * DIGEST_BYTES);
    const keys = new Uint8Array(indexes.length * DIGEST_BYTES);
    indexes.forEach((chunkIndex, position) => {
      const from = chunkIndex * DIGEST_BYTES;
      names.set(this.#names.subarray(from, from + DIGEST_BYTES), position * DIGEST_BYTES);
      keys.set(this.#keys.subarray(from, from + DIGEST_BYTES), position * DIGEST_BYTES);
    });
    return { diskChunkCount: this.#diskChunkCount, indexes, names, keys, image };
  }
}

function* storedIndexes(stored: Uint8Array): Generator<number> {
  for (const [chunkIndex, is] of stored.entries()) if (is === 1) yield chunkIndex;
}
