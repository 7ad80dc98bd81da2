// ⚡ uses: file system
/**
 * The files that chunks are written to, past the page cache where that can be (open(2), O_DIRECT): a conversion writes each
 * chunk once and reads hardly any of them back. docs/decisions/0017-past-the-page-cache.md.
 */
import { closeSync, constants, openSync, statfsSync, write, writeFileSync } from "node:fs";

import { errnoOf } from "../base/error.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";

/** An open file without content; `fill` closes it. */
export interface EmptyFile {
  readonly path: string;
  readonly descriptor: number;
  readonly isDirect: boolean;
}

/**
 * File systems where it was measured and gains (statfs(2), f_type): ext4, XFS, overlayfs. Elsewhere it may mean something else:
 * NFS waits for the server's disk at each write.
 */
const DIRECT_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x794c7630]);

/** Makes and fills files of chunks below one directory. */
export class ChunkFiles {
  #isDirect: boolean;
  /** Memory that can be written from directly; it grows to as many chunks as are written at once. */
  readonly #rooms: Uint8Array[] = [];

  constructor(directory: string) {
    this.#isDirect = takesDirectWrites(directory);
  }

  /**
   * A new file.
   * @throws what openSync throws: EEXIST where there is one
   */
  create(path: string): EmptyFile {
    if (!this.#isDirect) return { path, descriptor: openSync(path, "wx"), isDirect: false };
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DIRECT;
    try {
      return { path, descriptor: openSync(path, flags), isDirect: true };
    } catch (error) {
      if (errnoOf(error) !== "EINVAL") throw error;
      // The kernel makes the file before it asks the file system: it is there now, and ours.
      this.#isDirect = false;
      return { path, descriptor: openSync(path, "w"), isDirect: false };
    }
  }

  /** Makes a chunk the file's content and closes it, also when it fails. The chunk is of no use to it once this returns. */
  async fill({ path, descriptor, isDirect }: EmptyFile, chunk: Uint8Array): Promise<void> {
    try {
      if (isDirect) await this.#fillDirect({ path, descriptor }, chunk);
      else writeFileSync(descriptor, chunk);
    } finally {
      closeSync(descriptor);
    }
  }

  async #fillDirect(
    { path, descriptor }: { readonly path: string; readonly descriptor: number },
    chunk: Uint8Array,
  ): Promise<void> {
    const room = this.#rooms.pop() ?? alignedChunk();
    room.set(chunk);
    try {
      let at = 0;
      while (at < CHUNK_BYTES) at += await writeFrom(descriptor, room, at);
    } catch (error) {
      if (errnoOf(error) !== "EINVAL") throw error;
      // The file system takes the flag, but not this write: blocks of more than a page, say.
      this.#isDirect = false;
      writeFileSync(path, room);
    } finally {
      this.#rooms.push(room);
    }
  }
}

/** Writes the bytes from `at` on to their place in the file; resolves to how many were written. */
function writeFrom(descriptor: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, at, bytes.length - at, at, (error, sizeBytes) => {
      if (error === null) resolve(sizeBytes);
      else reject(error);
    });
  });
}

function takesDirectWrites(directory: string): boolean {
  // Only Linux has the flag.
  if ((constants.O_DIRECT as number | undefined) === undefined) return false;
  try {
    return DIRECT_FILE_SYSTEMS.has(statfsSync(directory).type);
  } catch {
    return false; // What is wrong with the directory shows when a file is made.
  }
}

/** Memory of a chunk that begins on a page: V8 maps the memory of a buffer that can be resized, others come from malloc. */
function alignedChunk(): Uint8Array {
  return new Uint8Array(new ArrayBuffer(CHUNK_BYTES, { maxByteLength: CHUNK_BYTES }));
}
