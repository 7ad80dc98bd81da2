// ⚡ uses: file system
/** An overlay in a file, which outlives the process. docs/format/overlay.md. */
import { constants } from "node:fs";
import { link, open, realpath, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { errnoOf, assert, type LambdaImgError } from "../base/error.ts";
import { overlayInvalid, type OverlayIdentity } from "./_overlay-header.ts";
import { lockOverlay } from "./_overlay-lock.ts";
import { FileMedium, overlayError } from "./_overlay-medium.ts";
import { formatOverlay, openOverlay } from "./_overlay-open.ts";
import { PAGE_BYTES, type OverlayStore } from "./overlay-store.ts";

const FILE_MODE = 0o600;

/** An overlay from a file, and whether this call made the file. */
export interface OpenedOverlay {
  readonly store: OverlayStore;
  readonly isNew: boolean;
}

/** Which file, what for, and, if it is made, how many bytes of pages it may hold. */
export interface OverlayFileOptions extends OverlayIdentity {
  readonly path: string;
  /** Of a new file only: a file that is there keeps the bound that it was made with. */
  readonly maxBytes: number;
}

/**
 * Opens the overlay in the file, or makes it, mode 0600, where there is none. The store's `close` closes the file and
 * gives its lock back.
 * @throws OVERLAY_INVALID where the file is no overlay, or is of another disk image or key; OVERLAY_CORRUPT where it
 *   was damaged; OVERLAY_UNAVAILABLE where it is in use or cannot be opened; OVERLAY_FULL where the disk is
 */
export async function openOverlayFile(options: OverlayFileOptions): Promise<OpenedOverlay> {
  assert(options.sizeBytes % PAGE_BYTES === 0, "a device has whole pages");
  const path = await realPathOf(options.path);
  const lock = await lockOverlay(path);
  try {
    const found = await openFile(path);
    const file = found ?? (await createFile(path, options));
    const medium = new FileMedium(file, path, () => lock.release());
    try {
      const store = await openOverlay(medium, options, path);
      return { store, isNew: found === undefined };
    } catch (error) {
      await file.close();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw overlayError(error, `${path}: cannot open the overlay`);
  }
}

/** One file has one path, so that two servers look for one lock. */
async function realPathOf(path: string): Promise<string> {
  try {
    try {
      return await realpath(path);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    const whole = resolve(path);
    return join(await realpath(dirname(whole)), basename(whole));
  } catch (error) {
    throw overlayError(error, `${path}: cannot open the overlay`);
  }
}

async function openFile(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle;
  try {
    // Without O_NONBLOCK a named pipe in the file's place would stop us for ever.
    file = await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "EISDIR") throw notRegular(path);
    throw error;
  }
  const status = await file.stat();
  if (status.isFile()) return file;
  await file.close();
  throw notRegular(path);
}

function notRegular(path: string): LambdaImgError {
  return overlayInvalid(path, "expected a regular file");
}

/** A whole overlay under its name, or none: it is made under another name, which the lock keeps others from. */
async function createFile(path: string, options: OverlayFileOptions): Promise<FileHandle> {
  const temporary = `${path}.new`;
  await unlinkIfThere(temporary); // Of a process that died here.
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(temporary, flags, FILE_MODE);
  try {
    // The umask can only take bits away; with an odd one even the owner could not open the file again.
    await file.chmod(FILE_MODE);
    await formatOverlay(new FileMedium(file, path), options, { path, maxBytes: options.maxBytes });
    // link(2) fails where the name exists: nothing is replaced.
    await link(temporary, path);
    await unlink(temporary);
    const directory = await open(dirname(path), constants.O_RDONLY);
    await directory.sync().finally(() => directory.close());
    return file;
  } catch (error) {
    await file.close();
    await unlinkIfThere(temporary);
    throw error;
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
