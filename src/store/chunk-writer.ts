// ⚡ uses: file system, chance
/** Puts chunks from any thread: made from plain data, synchronous, without a fsync. */
import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { assert } from "../base/error.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { PutOutcome } from "./store.ts";
import { errnoOf, storeError } from "./_file.ts";

/** Where a ChunkWriter writes: plain data that can be sent to a worker thread. */
export interface ChunkWriterPlace {
  /** `roots/<root>/chunks`. */
  readonly chunksDirectory: string;
  /** `roots/<root>/tmp/<session>`: the store object that gave it removes it when it is closed. */
  readonly sessionDirectory: string;
}

/** The file of a chunk. */
export function chunkPath(chunksDirectory: string, name: ChunkName): string {
  return join(chunksDirectory, name.slice(0, 2), name);
}

/** Puts chunks, as Store.putChunk does. Several may write to one place at once. */
export class ChunkWriter {
  readonly #place: ChunkWriterPlace;
  // Writers of one session, in several threads, must not share temporary files.
  readonly #prefix: string = randomBytes(8).toString("hex");
  #count = 0;

  constructor(place: ChunkWriterPlace) {
    this.#place = place;
  }

  /**
   * Stores a sealed chunk if absent; not durable before the store's barrier. The bytes may lie in shared memory.
   * @throws STORE_FORBIDDEN, STORE_FULL, STORE_NOT_FOUND, STORE_UNAVAILABLE
   */
  putChunkSync(name: ChunkName, sealed: Uint8Array): PutOutcome {
    assert(sealed.length === CHUNK_BYTES, "a sealed chunk has 512 KiB");
    const path = chunkPath(this.#place.chunksDirectory, name);
    try {
      const status = statSync(path, { throwIfNoEntry: false });
      // A crash without a barrier can leave a shorter file: that one is written again.
      if (status?.isFile() === true && status.size === CHUNK_BYTES) return "present";
      this.#write(path, sealed);
      return "stored";
    } catch (error) {
      throw storeError(error, `${path}: cannot store the chunk`);
    }
  }

  #write(path: string, sealed: Uint8Array): void {
    const temporary = join(this.#place.sessionDirectory, `${this.#prefix}-${this.#count++}`);
    try {
      retryWithDirectory(this.#place.sessionDirectory, () => {
        writeFileSync(temporary, sealed, { flag: "wx" });
      });
      retryWithDirectory(join(path, ".."), () => {
        renameSync(temporary, path);
      });
    } catch (error) {
      try {
        unlinkSync(temporary);
      } catch {
        // It may not exist; the failure above is what counts.
      }
      throw error;
    }
  }
}

/** Makes the last directory on the way if that is what is missing; what is above it, only creation makes. */
function retryWithDirectory(directory: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    try {
      mkdirSync(directory);
    } catch (mkdirError) {
      if (errnoOf(mkdirError) !== "EEXIST") throw mkdirError;
    }
    work();
  }
}
