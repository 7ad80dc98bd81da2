/** What each type of file is called in inodes and directories, and what goes with it. */
import { viewOf } from "../base/bytes.ts";
import { LINK_COUNT_MAX } from "../base/limit.ts";
import type { Inode } from "../tree/tree.ts";
import {
  FT_BLKDEV,
  FT_CHRDEV,
  FT_DIR,
  FT_FIFO,
  FT_REG_FILE,
  FT_SYMLINK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
} from "./constants.ts";

/** i_mode's type bits and the type in directory entries. */
export const FILE_TYPES: Readonly<
  Record<Inode["type"], { readonly modeBits: number; readonly directoryType: number }>
> = {
  file: { modeBits: S_IFREG, directoryType: FT_REG_FILE },
  dir: { modeBits: S_IFDIR, directoryType: FT_DIR },
  symlink: { modeBits: S_IFLNK, directoryType: FT_SYMLINK },
  char: { modeBits: S_IFCHR, directoryType: FT_CHRDEV },
  block: { modeBits: S_IFBLK, directoryType: FT_BLKDEV },
  fifo: { modeBits: S_IFIFO, directoryType: FT_FIFO },
};

/** Type and permission bits. */
export function modeOf(inode: Inode): number {
  return FILE_TYPES[inode.type].modeBits | inode.mode;
}

/** Links of a directory: its own name and `.`, and `..` of each subdirectory; 1 where ext4 cannot count them (dir_nlink). */
export function directoryLinkCount(inode: Inode): number {
  let count = 2;
  for (const child of inode.children?.values() ?? []) if (child.type === "dir") count++;
  return count > LINK_COUNT_MAX ? 1 : count;
}

/** The first eight bytes of i_block of a device: the short encoding in the first word, or the long one in the second. */
export function deviceBlock(inode: Inode): Uint8Array {
  const bytes = new Uint8Array(8);
  const { deviceMajor: major, deviceMinor: minor } = inode;
  // old_encode_dev and new_encode_dev of the kernel's kdev_t.h.
  if (major < 256 && minor < 256) viewOf(bytes).setUint32(0, (major << 8) | minor, true);
  else viewOf(bytes).setUint32(4, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true);
  return bytes;
}
