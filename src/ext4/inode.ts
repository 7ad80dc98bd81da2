/** Encoding of inodes (kernel documentation, "Index Nodes"). */
import { viewOf } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";
import { crc32c, crc32cOfZeros } from "./crc32c.ts";
import { CHECKSUM_SEED } from "./profile.ts";
import { INODE_BYTES } from "./constants.ts";

/** Bytes of the inode beyond the first 128 that its fixed fields take: up to and including i_projid. */
export const EXTRA_ISIZE = 32;
/** Offset and size of the room for extended attributes within the inode. */
const INODE_XATTR_OFFSET = 128 + EXTRA_ISIZE;
export const INODE_XATTR_BYTES: number = INODE_BYTES - INODE_XATTR_OFFSET;
/** i_block: the extent root, the device number or a short symlink's target. */
export const I_BLOCK_BYTES = 60;

/** ext4 counts 34 bits of seconds from -2^31 ("Inode Timestamps"): 1901-12-13 to 2446-05-10. */
const SECONDS_MIN = -(2 ** 31);
const SECONDS_MAX = 2 ** 34 - 2 ** 31 - 1;

/** The fields of an inode that vary; everything else is fixed by the profile. */
export interface InodeFields {
  readonly inodeNumber: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Given to all four times: what the image says of a file's past is its mtime only. */
  readonly mtime: Timestamp;
  readonly linkCount: number;
  /** In units of 512 bytes: data, extent blocks and the attribute block. */
  readonly sectorCount: number;
  readonly flags: number;
  /** 60 bytes. */
  readonly iBlock: Uint8Array;
  /** Block of extended attributes, or 0. */
  readonly xattrBlock: number;
  /** What goes into the room within the inode: at most INODE_XATTR_BYTES. */
  readonly xattrBytes: Uint8Array | undefined;
  /**
   * For an inode that holds an attribute's value ("ea_inode"): how many inodes refer to it, and the CRC-32C of the
   * value; the kernel keeps them in i_version and i_atime.
   */
  readonly xattrValue: { readonly referenceCount: number; readonly valueHash: number } | undefined;
}

/** The nearest time that ext4 can hold; `isClamped` where that is another. */
export function clampTime(time: Timestamp): { time: Timestamp; isClamped: boolean } {
  if (time.seconds < SECONDS_MIN) return { time: { seconds: SECONDS_MIN, nanoseconds: 0 }, isClamped: true };
  if (time.seconds > SECONDS_MAX)
    return { time: { seconds: SECONDS_MAX, nanoseconds: 999_999_999 }, isClamped: true };
  return { time, isClamped: false };
}

/** The memory of an inode, and a view of it: made once for a block of the table, where memory of its own for each would cost. */
export interface InodeRoom {
  /** 256 bytes. */
  readonly bytes: Uint8Array;
  /** Those before the room for extended attributes. */
  readonly fixedBytes: Uint8Array;
  readonly view: DataView;
}

/** The rooms of a block's inodes. */
export function inodeRooms(block: Uint8Array): InodeRoom[] {
  return Array.from({ length: block.length / INODE_BYTES }, (_, i) => {
    const bytes = block.subarray(i * INODE_BYTES, (i + 1) * INODE_BYTES);
    return { bytes, fixedBytes: bytes.subarray(0, INODE_XATTR_OFFSET), view: viewOf(bytes) };
  });
}

/** Writes the inode into a room of zeros. */
export function encodeInode({ bytes, fixedBytes, view }: InodeRoom, fields: InodeFields): void {
  view.setUint16(0x0, fields.mode, true);
  view.setUint16(0x2, fields.uid & 0xffff, true);
  view.setUint32(0x4, fields.sizeBytes % 2 ** 32, true);
  encodeTimes(view, fields);
  view.setUint16(0x18, fields.gid & 0xffff, true);
  view.setUint16(0x1a, fields.linkCount, true);
  view.setUint32(0x1c, fields.sectorCount % 2 ** 32, true);
  view.setUint32(0x20, fields.flags, true);
  bytes.set(fields.iBlock, 0x28);
  view.setUint32(0x68, fields.xattrBlock, true);
  view.setUint32(0x6c, Math.floor(fields.sizeBytes / 2 ** 32), true);
  // l_i_blocks_high (feature huge_file): counts stay in 512-byte units, so EXT4_HUGE_FILE_FL is not set.
  view.setUint16(0x74, Math.floor(fields.sectorCount / 2 ** 32), true);
  view.setUint16(0x78, fields.uid >>> 16, true);
  view.setUint16(0x7a, fields.gid >>> 16, true);
  view.setUint16(0x80, EXTRA_ISIZE, true);
  if (fields.xattrBytes !== undefined) bytes.set(fields.xattrBytes, INODE_XATTR_OFFSET);
  if (fields.xattrValue !== undefined) {
    view.setUint32(0x8, fields.xattrValue.valueHash, true); // i_atime
    view.setUint32(0x24, fields.xattrValue.referenceCount, true); // l_i_version
  }
  // "Checksums": over the whole inode with both halves of the checksum zero.
  const seed = inodeSeed(fields.inodeNumber);
  const checksum =
    fields.xattrBytes === undefined ? overXattrRoom(crc32c(seed, fixedBytes)) : crc32c(seed, bytes);
  view.setUint16(0x7c, checksum & 0xffff, true);
  view.setUint16(0x82, checksum >>> 16, true);
}

/** The seed of every checksum that belongs to one inode: that of its number and its generation, which is 0 in ours. */
export function inodeSeed(inodeNumber: number): number {
  // The first four bytes are added to the checksum before it goes on, so that over zeros comes to the same.
  return overNumberAndGeneration((CHECKSUM_SEED ^ inodeNumber) >>> 0);
}

const overNumberAndGeneration = crc32cOfZeros(8);
/** Most inodes have no extended attributes. */
const overXattrRoom = crc32cOfZeros(INODE_XATTR_BYTES);

/** i_atime, i_ctime, i_mtime, i_crtime. */
const TIME_OFFSETS = [0x8, 0xc, 0x10, 0x90] as const;
/** Their i_*_extra. */
const EXTRA_TIME_OFFSETS = [0x84, 0x88, 0x8c, 0x94] as const;

function encodeTimes(view: DataView, fields: InodeFields): void {
  // An attribute's value has no times: i_atime and i_ctime mean other things there.
  if (fields.xattrValue !== undefined) return;
  const { seconds, nanoseconds } = fields.mtime;
  // "Inode Timestamps": 32 bits taken as signed, and two bits that add multiples of 2^32 to that.
  const low = seconds | 0;
  const epochBits = Math.round((seconds - low) / 2 ** 32) & 3;
  const extra = ((nanoseconds << 2) | epochBits) >>> 0;
  for (const offset of TIME_OFFSETS) view.setInt32(offset, low, true);
  for (const offset of EXTRA_TIME_OFFSETS) view.setUint32(offset, extra, true);
}
