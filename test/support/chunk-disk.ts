/** A disk image in memory, sealed as a store has it. */
import { LambdaImgError } from "../../src/base/error.ts";
import { CHUNK_BYTES, type ChunkName } from "../../src/chunk/chunk.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import { saltOf } from "../../src/crypto/salt.ts";
import { ManifestBuilder, type ManifestContent } from "../../src/manifest/manifest.ts";
import type { ChunkReader } from "../../src/store/store.ts";
import { sampleRecord } from "./manifest-sample.ts";

const SALT = saltOf({ rootId: "r0", epoch: 0, placement: "" });

export interface ChunkDisk {
  readonly plain: Uint8Array;
  readonly chunks: Map<string, Uint8Array>;
  readonly store: ChunkReader;
  readonly content: ManifestContent;
}

/** A disk image with the named chunks filled, the others zero. */
export function makeChunkDisk(diskChunkCount: number, filled: readonly number[]): ChunkDisk {
  const plain = new Uint8Array(diskChunkCount * CHUNK_BYTES);
  const chunks = new Map<string, Uint8Array>();
  const builder = new ManifestBuilder(diskChunkCount);
  for (const index of filled) {
    const chunk = plain.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
    for (let at = 0; at < chunk.length; at++) chunk[at] = (at * 31 + (at >>> 8) + index * 7 + 1) & 0xff;
    const sealed = sealChunk(chunk, SALT);
    chunks.set(sealed.name, sealed.sealed);
    builder.set(index, sealed);
  }
  const store: ChunkReader = {
    getChunk: (name: ChunkName) => {
      const sealed = chunks.get(name);
      if (sealed !== undefined) return Promise.resolve(Uint8Array.from(sealed));
      return Promise.reject(new LambdaImgError("CHUNK_NOT_FOUND", `chunk ${name}: not in the store`));
    },
  };
  return { plain, chunks, store, content: builder.finish(sampleRecord) };
}
