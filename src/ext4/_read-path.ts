/** Finds names in a disk image: one path, or all of them. */
import {
  asByteString,
  type ByteString,
  compareByteStrings,
  showByteString,
  toByteString,
} from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { PATH_BYTES_MAX, SYMLINK_FOLLOW_MAX, SYMLINK_TARGET_BYTES_MAX } from "../base/limit.ts";
import { type Ext4DirectoryEntry, readDirectoryBlocks } from "./_read-directory.ts";
import type { DiskImage } from "./_read-disk-image.ts";
import { invalidImage } from "./_read-error.ts";
import { readContent, requireType } from "./_read-extent.ts";
import { type Ext4Inode, I_BLOCK_OFFSET, readInode } from "./_read-inode.ts";
import * as ext4 from "./constants.ts";

/** An inode that a path led to. */
export interface FoundInode {
  readonly inodeNumber: number;
  readonly inode: Ext4Inode;
}

/** One path and its inode. */
export interface WalkedPath extends FoundInode {
  /** From the root directory, which is `/` itself: `/a`, `/a/b`. */
  readonly path: ByteString;
}

/** A directory that is being walked. */
interface WalkFrame {
  readonly inodeNumber: number;
  /** Its path with a slash at the end. */
  readonly prefix: ByteString;
  readonly entries: readonly Ext4DirectoryEntry[];
  nextIndex: number;
}

/** The target of a symlink. */
export async function readLink(image: DiskImage, inode: Ext4Inode): Promise<ByteString> {
  requireType(inode, "symlink");
  const where = `symlink inode ${inode.inodeNumber}`;
  const { sizeBytes } = inode;
  if (sizeBytes < 1 || sizeBytes > SYMLINK_TARGET_BYTES_MAX) {
    throw invalidImage(`${where} i_size`, `1 to ${SYMLINK_TARGET_BYTES_MAX}`, sizeBytes);
  }
  let target = "";
  // "Symbolic Links": targets below 60 bytes are in i_block itself; such an inode has no extents.
  if ((inode.flags & ext4.EXT4_EXTENTS_FL) === 0 && sizeBytes < ext4.FAST_SYMLINK_BYTES) {
    target = toByteString(inode.raw.subarray(I_BLOCK_OFFSET, I_BLOCK_OFFSET + sizeBytes));
  } else {
    for await (const piece of readContent(image, inode, {})) target += toByteString(piece);
  }
  if (target.includes("\0")) throw invalidImage(where, "no NUL in the target", "one");
  return asByteString(target);
}

/** The inode at `path`, symlinks resolved inside the disk image. */
export async function lookupPath(
  image: DiskImage,
  path: ByteString,
  options: { readonly followLast: boolean },
): Promise<FoundInode> {
  if (path.length > PATH_BYTES_MAX) {
    const details = { expected: PATH_BYTES_MAX, found: path.length };
    throw new LambdaImgError(
      "PATH_TOO_LONG",
      `path: expected at most ${PATH_BYTES_MAX} bytes, found ${path.length}`,
      { details },
    );
  }
  const rootDirectory = await readRootDirectory(image);
  /** The directories above `current`, the root directory first. */
  let parents: Ext4Inode[] = [];
  let current = rootDirectory;
  /** Components still to resolve, the next one last. */
  const pending = components(path);
  let followCount = 0;
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (current.type !== "dir") throw pathNotFound(path, name, "not inside a directory");
    if (name === ".") continue;
    if (name === "..") {
      current = parents.pop() ?? rootDirectory;
      continue;
    }
    const inodeNumber = await findName(image, current, name);
    if (inodeNumber === undefined) throw pathNotFound(path, name, "does not exist");
    const inode = await readInode(image, inodeNumber);
    if (inode.type !== "symlink" || (pending.length === 0 && !options.followLast)) {
      parents.push(current);
      current = inode;
      continue;
    }
    if (++followCount > SYMLINK_FOLLOW_MAX) {
      const details = { path: showByteString(path), limit: SYMLINK_FOLLOW_MAX };
      const message = `path ${details.path}: more than ${SYMLINK_FOLLOW_MAX} symbolic links`;
      throw new LambdaImgError("LINKS_TOO_MANY", message, { details });
    }
    const target = await readLink(image, inode);
    if (target.startsWith("/")) {
      parents = [];
      current = rootDirectory;
    }
    pending.push(...components(target));
  }
  return { inodeNumber: current.inodeNumber, inode: current };
}

/** The parts of a path, last first. A slash at the end asks for a directory, as `.` does. */
function components(path: ByteString): ByteString[] {
  const parts = path.split("/").filter((part) => part !== "");
  if (path.endsWith("/")) parts.push(".");
  return parts.reverse().map(asByteString);
}

function pathNotFound(path: ByteString, component: ByteString, what: string): LambdaImgError {
  const details = { path: showByteString(path), component: showByteString(component) };
  const message = `path ${details.path}: component ${details.component} ${what}`;
  return new LambdaImgError("PATH_NOT_FOUND", message, { details });
}

async function findName(
  image: DiskImage,
  directory: Ext4Inode,
  name: ByteString,
): Promise<number | undefined> {
  for await (const block of readDirectoryBlocks(image, directory)) {
    const entry = block.entries.find((candidate) => candidate.name === name);
    if (entry !== undefined) return entry.inodeNumber;
  }
  return undefined;
}

async function readRootDirectory(image: DiskImage): Promise<Ext4Inode> {
  const inode = await readInode(image, ext4.ROOT_INODE_NUMBER);
  if (inode.type !== "dir") throw invalidImage("inode 2 type", "dir", inode.type);
  return inode;
}

/** Every path once, directories before their children, names of one directory in byte order. */
export async function* walkTree(image: DiskImage): AsyncGenerator<WalkedPath> {
  const rootDirectory = await readRootDirectory(image);
  const rootNumber = rootDirectory.inodeNumber;
  const rootPath = asByteString("/");
  yield { path: rootPath, inodeNumber: rootNumber, inode: rootDirectory };
  /** A directory has one name. A second one would be a cycle, or a tree that doubles at every level. */
  const seenDirectories = new Set([rootNumber]);
  const stack = [await openFrame(image, rootDirectory, { prefix: rootPath, parentInodeNumber: rootNumber })];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const entry = frame.entries[frame.nextIndex++];
    if (entry === undefined) {
      stack.pop();
      continue;
    }
    const { inodeNumber } = entry;
    const inode = await readInode(image, inodeNumber);
    const path = asByteString(frame.prefix + entry.name);
    if (inode.type !== entry.type) {
      throw invalidImage(`path ${showByteString(path)} file_type`, inode.type, entry.type);
    }
    yield { path, inodeNumber, inode };
    if (inode.type !== "dir") continue;
    if (seenDirectories.has(inodeNumber)) {
      throw invalidImage(
        `path ${showByteString(path)}`,
        "a directory with one name",
        `inode ${inodeNumber} again`,
      );
    }
    seenDirectories.add(inodeNumber);
    const prefix = asByteString(`${path}/`);
    stack.push(await openFrame(image, inode, { prefix, parentInodeNumber: frame.inodeNumber }));
  }
}

async function openFrame(
  image: DiskImage,
  directory: Ext4Inode,
  place: { readonly prefix: ByteString; readonly parentInodeNumber: number },
): Promise<WalkFrame> {
  const { inodeNumber } = directory;
  const entries: Ext4DirectoryEntry[] = [];
  for await (const block of readDirectoryBlocks(image, directory)) {
    const found = block.parentInodeNumber ?? place.parentInodeNumber;
    if (found !== place.parentInodeNumber) {
      throw invalidImage(`directory inode ${inodeNumber} inode of ..`, place.parentInodeNumber, found);
    }
    for (const entry of block.entries) entries.push(entry);
  }
  entries.sort((left, right) => compareByteStrings(left.name, right.name));
  let previous: ByteString | undefined;
  for (const { name } of entries) {
    if (name === previous) {
      throw invalidImage(`directory inode ${inodeNumber}`, "each name once", showByteString(name));
    }
    previous = name;
  }
  return { inodeNumber, prefix: place.prefix, entries, nextIndex: 0 };
}
