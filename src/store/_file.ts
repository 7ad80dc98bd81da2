// ⚡ uses: file system
/** What the directory backend does with single files, and what their failures mean. */
import { constants, statSync } from "node:fs";
import { mkdir, open, readdir, rename, stat, unlink, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";

import { errnoOf, LambdaImgError, type ErrorCode } from "../base/error.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";

const CODES: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ["EACCES", "STORE_FORBIDDEN"],
  ["EPERM", "STORE_FORBIDDEN"],
  ["EROFS", "STORE_FORBIDDEN"],
  ["ENOSPC", "STORE_FULL"],
  ["EDQUOT", "STORE_FULL"],
  ["EFBIG", "STORE_FULL"],
  // What is needed was there when the store was opened: somebody removed it since.
  ["ENOENT", "STORE_NOT_FOUND"],
  ["ENOTDIR", "STORE_INVALID"],
  ["EISDIR", "STORE_INVALID"],
  ["ELOOP", "STORE_INVALID"],
]);

/** A failed system call as an error of the store; other errors as they are. */
export function storeError(error: unknown, what: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof LambdaImgError || !/^E[A-Z0-9]+$/.test(errno)) return error;
  return new LambdaImgError(CODES.get(errno) ?? "STORE_UNAVAILABLE", `${what}: ${errno}`, {
    details: { errno },
    cause: error,
  });
}

/**
 * All bytes of a file in fresh memory, or `undefined` where there is none; `check` refuses a size before it
 * is read.
 */
export async function readFileChecked(
  path: string,
  check: (sizeBytes: number) => void,
): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new LambdaImgError("STORE_INVALID", `${path}: expected a regular file`);
    check(status.size);
    const bytes = new Uint8Array(status.size);
    let at = 0;
    while (at < bytes.length) {
      const { bytesRead } = await file.read(bytes, at, bytes.length - at, at);
      if (bytesRead === 0)
        throw new LambdaImgError("STORE_UNAVAILABLE", `${path}: it shrank while it was read`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** Makes the file at `path` these bytes, whole or not at all and durably; `temporary` is on the same file system. */
export async function replaceFile(path: string, bytes: Uint8Array, temporary: string): Promise<void> {
  try {
    await writeSynced(temporary, bytes);
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined); // It may not exist; the failure above is what counts.
    throw error;
  }
  await syncPath(dirname(path));
}

/** A new file with these bytes, on disk when this resolves. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx");
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** fsync of a file or directory. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The size of the regular file, or `undefined` where there is none. */
export async function fileBytes(path: string): Promise<number | undefined> {
  try {
    const status = await stat(path);
    return status.isFile() ? status.size : undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Whether the file of a whole chunk is there; a crash without a barrier can leave a shorter one. Synchronous: ten times faster than a
 * promise, and an image has thousands.
 */
export function isChunkFile(path: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  return status?.isFile() === true && status.size === CHUNK_BYTES;
}

/** The names in a directory; none where it is absent. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Makes the directory; that above it must be there, so that a removed store does not come back half. */
export async function mkdirIfAbsent(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

/** Removes the file; true where it was there. */
export async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/**
 * Makes a directory and those above it; the topmost that was made, or `undefined`. Node's own recursive mkdir
 * reports a read-only file system as ENOENT.
 */
export async function makeDirectories(directory: string): Promise<string | undefined> {
  try {
    await mkdir(directory);
    return directory;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return undefined;
    if (errnoOf(error) !== "ENOENT" || dirname(directory) === directory) throw error;
  }
  const topmost = await makeDirectories(dirname(directory));
  await mkdirIfAbsent(directory);
  return topmost ?? directory;
}
