/** Reads and checks one inode (Documentation/filesystems/ext4 "Index Nodes"). */
import { viewOf } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";
import { checksumNumber, type DiskImage } from "./_read-disk-image.ts";
import { invalidImage, requireChecksum, showBits } from "./_read-error.ts";
import type { Ext4Superblock } from "./_read-superblock.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";

/** What an inode is. */
export type Ext4FileType = "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";

/** One inode, its checksum verified. */
export interface Ext4Inode {
  readonly inodeNumber: number;
  readonly type: Ext4FileType;
  /** The permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly atime: Timestamp;
  readonly ctime: Timestamp;
  readonly mtime: Timestamp;
  /** Of a directory with more than 64,998 subdirectories: 1 (feature dir_nlink). */
  readonly linkCount: number;
  readonly flags: number;
  readonly generation: number;
  /** Zero for all but devices. */
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Room taken on the disk, in units of 512 bytes, as stat(2) tells it. */
  readonly blocks512: number;
  /** The block of extended attributes, or 0. */
  readonly xattrBlock: number;
  /** What the checksums of this inode's own blocks start with. */
  readonly checksumSeed: number;
  /** The inode as it is on the disk; for the reader's own use. */
  readonly raw: Uint8Array;
}

/** Offset of i_block, 60 bytes: extent tree root, fast symlink or device number. */
export const I_BLOCK_OFFSET = 0x28;
/** The part of an inode that ext2 had; i_extra_isize counts from here. */
export const GOOD_OLD_INODE_BYTES = 128;

const EXT4_HUGE_FILE_FL = 0x40000;
const INCOMPAT_LARGEDIR = 0x4000;
/** ext4 counts a file's blocks in 32 bits. */
const SIZE_BYTES_MAX: number = 2 ** 32 * ext4.BLOCK_BYTES;
const TYPE_OF_MODE: ReadonlyMap<number, Ext4FileType> = new Map([
  [ext4.S_IFREG, "file"],
  [ext4.S_IFDIR, "dir"],
  [ext4.S_IFLNK, "symlink"],
  [ext4.S_IFCHR, "char"],
  [ext4.S_IFBLK, "block"],
  [ext4.S_IFIFO, "fifo"],
  [ext4.S_IFSOCK, "socket"],
]);

/** @throws DISK_IMAGE_INVALID where the inode is damaged, or not in use */
export async function readInode(image: DiskImage, inodeNumber: number): Promise<Ext4Inode> {
  return parseInode(image.superblock, inodeNumber, await image.readRawInode(inodeNumber));
}

function parseInode(superblock: Ext4Superblock, inodeNumber: number, raw: Uint8Array): Ext4Inode {
  const where = `inode ${inodeNumber}`;
  const view = viewOf(raw);
  const u16 = (offset: number): number => view.getUint16(offset, true);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const extraBytes = raw.length > GOOD_OLD_INODE_BYTES ? u16(0x80) : 0;
  if (extraBytes > raw.length - GOOD_OLD_INODE_BYTES || extraBytes % 4 !== 0) {
    throw invalidImage(`${where} i_extra_isize`, `0 to ${raw.length - GOOD_OLD_INODE_BYTES}`, extraBytes);
  }
  const generation = u32(0x64);
  const checksumSeed = checksumNumber(checksumNumber(superblock.checksumSeed, inodeNumber), generation);
  if (superblock.hasMetadataChecksums) checkInodeChecksum(where, view, { checksumSeed, extraBytes });
  const modeBits = u16(0x0);
  const type = TYPE_OF_MODE.get(modeBits & ext4.S_IFMT);
  if (type === undefined) throw invalidImage(`${where} i_mode`, "an inode in use", showBits(modeBits));
  const flags = u32(0x20);
  const device = decodeDevice(type, u32(I_BLOCK_OFFSET), u32(I_BLOCK_OFFSET + 4));
  const extra = (offset: number): number =>
    offset + 4 <= GOOD_OLD_INODE_BYTES + extraBytes ? u32(offset) : 0;
  const time = (offset: number, extraOffset: number): Timestamp =>
    decodeTime(where, view.getInt32(offset, true), extra(extraOffset));
  return {
    inodeNumber,
    type,
    mode: modeBits & 0o7777,
    uid: u16(0x2) + u16(0x78) * 65536,
    gid: u16(0x18) + u16(0x7a) * 65536,
    sizeBytes: decodeSize(superblock, { where, type, low: u32(0x4), high: u32(0x6c) }),
    atime: time(0x8, 0x8c),
    ctime: time(0xc, 0x84),
    mtime: time(0x10, 0x88),
    linkCount: u16(0x1a),
    flags,
    generation,
    deviceMajor: device.major,
    deviceMinor: device.minor,
    blocks512: decodeBlocks(superblock, { flags, low: u32(0x1c), high: u16(0x74) }),
    xattrBlock: u32(0x68) + u16(0x76) * 2 ** 32,
    checksumSeed,
    raw,
  };
}

/** "Inode checksum": of the inode with both halves of the checksum as zeros. */
function checkInodeChecksum(
  where: string,
  view: DataView,
  inode: { readonly checksumSeed: number; readonly extraBytes: number },
): void {
  const cleared = new Uint8Array(view.byteLength);
  cleared.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
  cleared.fill(0, 0x7c, 0x7e);
  // i_checksum_hi is there only where i_extra_isize reaches past it.
  const hasHigh = inode.extraBytes >= 4;
  if (hasHigh) cleared.fill(0, 0x82, 0x84);
  const computed = crc32c(inode.checksumSeed, cleared);
  const high = hasHigh ? view.getUint16(0x82, true) * 65536 : 0;
  requireChecksum(where, hasHigh ? computed : computed & 0xffff, view.getUint16(0x7c, true) + high);
}

function decodeSize(
  superblock: Ext4Superblock,
  size: { where: string; type: Ext4FileType; low: number; high: number },
): number {
  // i_size_high was i_dir_acl once: only files, and directories with largedir, may be past 4 GiB.
  const isLarge =
    size.type === "file" || (size.type === "dir" && (superblock.incompatFeatures & INCOMPAT_LARGEDIR) !== 0);
  const sizeBytes = size.low + (isLarge ? size.high * 2 ** 32 : 0);
  if (sizeBytes > SIZE_BYTES_MAX) {
    throw invalidImage(`${size.where} i_size`, `at most ${SIZE_BYTES_MAX}`, sizeBytes);
  }
  return sizeBytes;
}

/** "i_blocks_lo": units of 512 bytes, or with the flag huge_file of blocks. */
function decodeBlocks(
  superblock: Ext4Superblock,
  blocks: { flags: number; low: number; high: number },
): number {
  if ((superblock.roCompatFeatures & ext4.RO_COMPAT_HUGE_FILE) === 0) return blocks.low;
  const count = blocks.low + blocks.high * 2 ** 32;
  return blocks.flags & EXT4_HUGE_FILE_FL ? count * (ext4.BLOCK_BYTES / 512) : count;
}

/** "Inode Timestamps": two more bits of seconds on top of a signed 32-bit number, and 30 bits of nanoseconds. */
function decodeTime(where: string, seconds: number, extra: number): Timestamp {
  const nanoseconds = extra >>> 2;
  if (nanoseconds > 999_999_999) throw invalidImage(`${where} time`, "below 10^9 ns", nanoseconds);
  return { seconds: seconds + (extra & 3) * 2 ** 32, nanoseconds };
}

/** The kernel's old_decode_dev of i_block[0] if it is not zero, else new_decode_dev of i_block[1]. */
function decodeDevice(type: Ext4FileType, old: number, wide: number): { major: number; minor: number } {
  if (type !== "char" && type !== "block") return { major: 0, minor: 0 };
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  return { major: (wide >>> 8) & 0xfff, minor: (wide & 0xff) | ((wide >>> 12) & 0xfff00) };
}
