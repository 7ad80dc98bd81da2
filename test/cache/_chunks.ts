/** Chunks to put into caches. */
import { CHUNK_BYTES, chunkNameOf, type ChunkName } from "../../src/chunk/chunk.ts";

export interface MadeChunk {
  readonly name: ChunkName;
  readonly sealed: Uint8Array;
}

/** A chunk that differs for every number. */
export function madeChunk(seed: number): MadeChunk {
  const sealed = new Uint8Array(CHUNK_BYTES).fill(seed & 0xff);
  new DataView(sealed.buffer).setUint32(0, seed, true);
  return { name: chunkNameOf(sealed), sealed };
}

/** Chunks whose names begin with the digit: they share a set. */
export function chunksOfSet(digit: string, count: number): readonly MadeChunk[] {
  const found: MadeChunk[] = [];
  for (let seed = 0; found.length < count; seed++) {
    const chunk = madeChunk(seed);
    if (chunk.name.startsWith(digit)) found.push(chunk);
  }
  return found;
}
