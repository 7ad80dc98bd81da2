// ⚡ uses: file system, chance
/** A file that a command writes: it appears only whole, and replaces another only if that is asked for. */
import { randomBytes } from "node:crypto";
import { open, realpath, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { LambdaImgError, errnoOf, type ErrorCode } from "../base/error.ts";
import { giveNewName } from "../base/new-name.ts";

/** Characters of a file's name that its temporary name has: names may have 255 bytes, of which both need some. */
const NAME_CHARACTERS = 60;

/**
 * Makes the file that `write` writes; gives what it gives.
 * @throws OUTPUT_EXISTS, OUTPUT_FORBIDDEN, OUTPUT_FULL, OUTPUT_UNAVAILABLE, PATH_NOT_FOUND,
 *   PATH_TOO_LONG, USAGE_INVALID, and what `write` throws
 */
export async function writeNewFile<T>(
  path: string,
  options: { readonly isForced: boolean },
  write: (file: FileHandle) => Promise<T>,
): Promise<T> {
  // What a symlink leads to is replaced, not the link: as root that would be /dev/stdout.
  const target = options.isForced ? await realpath(path).catch(() => path) : path;
  const name = `${basename(target).slice(0, NAME_CHARACTERS)}.${randomBytes(6).toString("hex")}.tmp`;
  const temporary = join(dirname(target), name);
  try {
    const file = await open(temporary, "wx");
    let written: T;
    try {
      written = await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    if (options.isForced) await rename(temporary, target);
    else await giveNewName(temporary, target);
    return written;
  } catch (error) {
    throw outputError(error, path);
  } finally {
    await unlink(temporary).catch(() => undefined); // Renamed, or never made.
  }
}

/** The failure of a file that is in the way. */
export function outputExists(path: string): LambdaImgError {
  return new LambdaImgError("OUTPUT_EXISTS", `${path}: the file exists; --force replaces it`);
}

const CODES: ReadonlyMap<string, ErrorCode> = new Map<string, ErrorCode>([
  ["EACCES", "OUTPUT_FORBIDDEN"],
  ["EPERM", "OUTPUT_FORBIDDEN"],
  ["EROFS", "OUTPUT_FORBIDDEN"],
  ["ENOSPC", "OUTPUT_FULL"],
  ["EDQUOT", "OUTPUT_FULL"],
  ["EFBIG", "OUTPUT_FULL"],
  ["ENOENT", "PATH_NOT_FOUND"],
  ["ENOTDIR", "PATH_NOT_FOUND"],
  ["ENAMETOOLONG", "PATH_TOO_LONG"],
]);

/** A failed system call as an error of the output; other errors as they are. */
export function outputError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof LambdaImgError || errno === "") return error;
  if (errno === "EEXIST") return outputExists(path);
  if (errno === "EISDIR") {
    return new LambdaImgError("USAGE_INVALID", `${path}: expected a file, found a directory`);
  }
  return new LambdaImgError(
    CODES.get(errno) ?? "OUTPUT_UNAVAILABLE",
    `${path}: cannot write in ${dirname(path)}: ${errno}`,
    { cause: error },
  );
}
