// ⚡ uses: file system
/** Puts chunks from any thread: made from plain data, without a fsync. */
import { mkdirSync, readFileSync, statSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";

import { errnoOf, assert } from "../base/error.ts";
import { releaseBytes } from "../base/release.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { PutOutcome } from "./store.ts";
import { ChunkFiles } from "./_chunk-files.ts";
import { isChunkFile, storeError } from "./_file.ts";

/** Where a ChunkWriter writes: plain data that can be sent to a worker thread. */
export interface ChunkWriterPlace {
  /** `roots/<root>/chunks`. */
  readonly chunksDirectory: string;
  /** `roots/<root>/tmp/<session>`: staged chunks by name. The store object that gave it removes it when it is closed. */
  readonly sessionDirectory: string;
  /** A chunk that is there is read and compared, and replaced where its bytes are others. */
  readonly isComparing: boolean;
}

/** The file of a chunk. Not by `join`, which looks at each character: an image has thousands of chunks, with three paths each. */
export function chunkPath(chunksDirectory: string, name: ChunkName): string {
  return `${chunksDirectory}/${name.slice(0, 2)}/${name}`;
}

/** The file of a staged chunk. */
export function stagedPath(sessionDirectory: string, name: ChunkName): string {
  return `${sessionDirectory}/${name}`;
}

/** Puts chunks as Store.putChunk does, but staged. Several may write to one place at once. */
export class ChunkWriter {
  readonly #place: ChunkWriterPlace;
  readonly #files: ChunkFiles;
  /** Directories of chunks that are there, and whether they were made here; at most 256. */
  readonly #directories = new Map<string, "made" | "found">();

  constructor(place: ChunkWriterPlace) {
    this.#place = place;
    // On the same file system as the session's directory, which the first chunk makes.
    this.#files = new ChunkFiles(place.chunksDirectory);
  }

  /**
   * Stages a sealed chunk if it is neither in the store nor staged; one that came into the store while this writer worked may be
   * staged as well. The store's barrier, given its name, puts it into the store and makes it durable; closing the store without
   * drops it. The bytes may lie in shared memory; they are the caller's again when this returns, before it resolves.
   * @throws STORE_FORBIDDEN, STORE_FULL, STORE_NOT_FOUND, STORE_UNAVAILABLE
   */
  async putChunk(name: ChunkName, sealed: Uint8Array): Promise<PutOutcome> {
    assert(sealed.length === CHUNK_BYTES, "a sealed chunk has 512 KiB");
    const path = chunkPath(this.#place.chunksDirectory, name);
    try {
      // A directory that was made here had no chunks then. One that a barrier has put there since is put there again, the same.
      const isKnown = this.#ensureDirectory(dirname(path)) === "found" && isChunkFile(path);
      if (isKnown && !(this.#place.isComparing && isOther(path, sealed))) return "present";
      return await this.#stage(stagedPath(this.#place.sessionDirectory, name), sealed);
    } catch (error) {
      throw storeError(error, `${path}: cannot store the chunk`);
    }
  }

  /** Makes the directory of a chunk's file here, beside other work, so that the barrier has only to rename. */
  #ensureDirectory(directory: string): "made" | "found" {
    let state = this.#directories.get(directory);
    if (state !== undefined) return state;
    state = statSync(directory, { throwIfNoEntry: false }) === undefined ? "made" : "found";
    if (state === "made") makeDirectory(directory);
    this.#directories.set(directory, state);
    return state;
  }

  async #stage(path: string, sealed: Uint8Array): Promise<PutOutcome> {
    try {
      const file = retryWithDirectory(this.#place.sessionDirectory, () => this.#files.create(path));
      await this.#files.fill(file, sealed);
      return "stored";
    } catch (error) {
      // This session has it, or another of its threads is writing the same bytes right now.
      if (errnoOf(error) === "EEXIST") return "present";
      try {
        unlinkSync(path); // Half a chunk: nobody must take it for a whole one.
      } catch {
        // It may not exist; the failure above is what counts.
      }
      throw error;
    }
  }
}

/** True as well for a file that cannot be read: a new one in its place can. */
function isOther(path: string, sealed: Uint8Array): boolean {
  try {
    const found = readFileSync(path);
    const isEqual = found.equals(sealed);
    releaseBytes(found);
    return !isEqual;
  } catch {
    return true;
  }
}

/** Makes the last directory on the way if that is what is missing; what is above it, only creation makes. */
export function retryWithDirectory<T>(directory: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    makeDirectory(directory);
    return work();
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error; // Another thread, or another session, was quicker.
  }
}
