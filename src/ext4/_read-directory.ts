/** Reads directories, linear and hashed alike (Documentation/filesystems/ext4 "Directory Entries"). */
import { asByteString, type ByteString, showByteString, toByteString, viewOf } from "../base/bytes.ts";
import { NAME_BYTES_MAX } from "../base/limit.ts";
import type { DiskImage } from "./_read-disk-image.ts";
import { invalidImage, requireChecksum } from "./_read-error.ts";
import { readExtents, requireType } from "./_read-extent.ts";
import type { Ext4FileType, Ext4Inode } from "./_read-inode.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";

/** A name and the inode that it points to. */
export interface Ext4DirectoryEntry {
  readonly name: ByteString;
  readonly inodeNumber: number;
  readonly type: Ext4FileType;
}

/** What one block of a directory holds. */
export interface DirectoryBlock {
  /** In disk order, without `.` and `..`. */
  readonly entries: readonly Ext4DirectoryEntry[];
  /** The target of `..`, in the first block. */
  readonly parentInodeNumber: number | undefined;
}

/** A block and where it is. */
interface BlockPlace {
  readonly where: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly inode: Ext4Inode;
}

/** A place in a block, and the entry there. */
interface RawEntry {
  readonly where: string;
  readonly inodeNumber: number;
  readonly recordBytes: number;
  readonly name: ByteString;
  readonly typeNumber: number;
}

const RUN_BLOCKS = 128;
/** inode, rec_len, name_len, file_type. */
const ENTRY_HEADER_BYTES = 8;
const TAIL_BYTES = 12;
const TAIL_OFFSET: number = ext4.BLOCK_BYTES - TAIL_BYTES;
const DX_ENTRY_BYTES = 8;
const DOT = asByteString(".");
const DOT_DOT = asByteString("..");
const TYPE_OF_NUMBER: ReadonlyMap<number, Ext4FileType> = new Map([
  [ext4.FT_REG_FILE, "file"],
  [ext4.FT_DIR, "dir"],
  [ext4.FT_CHRDEV, "char"],
  [ext4.FT_BLKDEV, "block"],
  [ext4.FT_FIFO, "fifo"],
  [ext4.FT_SOCK, "socket"],
  [ext4.FT_SYMLINK, "symlink"],
]);

/** The blocks of a directory in their order in the file, each with its checksum verified. */
export async function* readDirectoryBlocks(
  image: DiskImage,
  inode: Ext4Inode,
): AsyncGenerator<DirectoryBlock> {
  requireType(inode, "dir");
  const where = `directory inode ${inode.inodeNumber}`;
  if (inode.sizeBytes === 0 || inode.sizeBytes % ext4.BLOCK_BYTES !== 0) {
    throw invalidImage(`${where} i_size`, "whole blocks", inode.sizeBytes);
  }
  const blockCount = inode.sizeBytes / ext4.BLOCK_BYTES;
  let nextBlock = 0;
  for (const extent of await readExtents(image, inode)) {
    if (nextBlock >= blockCount) break;
    if (extent.fileBlock !== nextBlock || extent.isUnwritten) {
      throw invalidImage(where, `block ${nextBlock} mapped and written`, "a hole");
    }
    const runEnd = Math.min(extent.fileBlock + extent.blockCount, blockCount);
    while (nextBlock < runEnd) {
      const runCount = Math.min(runEnd - nextBlock, RUN_BLOCKS);
      const run = await image.readBlocks(extent.diskBlock + nextBlock - extent.fileBlock, runCount, where);
      for (let at = 0; at < run.length; at += ext4.BLOCK_BYTES, nextBlock++) {
        const bytes = run.subarray(at, at + ext4.BLOCK_BYTES);
        const place = { where: `${where} block ${nextBlock}`, bytes, view: viewOf(bytes), inode };
        yield parseBlock(image, place, nextBlock);
      }
    }
  }
  if (nextBlock < blockCount) throw invalidImage(where, `${blockCount} blocks`, nextBlock);
}

function parseBlock(image: DiskImage, place: BlockPlace, blockIndex: number): DirectoryBlock {
  const { superblock } = image;
  let end: number = ext4.BLOCK_BYTES;
  if (superblock.hasMetadataChecksums) {
    // Hash tree nodes look like directory blocks without entries, but keep their checksum elsewhere.
    const isHashed =
      (place.inode.flags & ext4.EXT4_INDEX_FL) !== 0 &&
      (superblock.compatFeatures & ext4.COMPAT_DIR_INDEX) !== 0;
    const isFakeEntry = place.view.getUint16(4, true) === ext4.BLOCK_BYTES;
    if (isHashed && (blockIndex === 0 || isFakeEntry)) {
      checkHashTreeBlock(place, blockIndex === 0 ? 32 : 8);
    } else {
      checkTail(place);
      end = TAIL_OFFSET;
    }
  }
  const entries: Ext4DirectoryEntry[] = [];
  let at = 0;
  let parentInodeNumber: number | undefined;
  if (blockIndex === 0) {
    const dot = readEntry(image, place, at, end);
    requireDot(dot, DOT, place.inode.inodeNumber);
    at += dot.recordBytes;
    const dotDot = readEntry(image, place, at, end);
    requireDot(dotDot, DOT_DOT, dotDot.inodeNumber);
    at += dotDot.recordBytes;
    parentInodeNumber = dotDot.inodeNumber;
  }
  while (at < end) {
    const entry = readEntry(image, place, at, end);
    at += entry.recordBytes;
    if (entry.inodeNumber !== 0) entries.push(checkEntry(image, entry));
  }
  return { entries, parentInodeNumber };
}

/** "Linear Directories", ext4_dir_entry_tail: 12 bytes that look like an unused entry. */
function checkTail(place: BlockPlace): void {
  const { view } = place;
  const isTail =
    view.getUint32(TAIL_OFFSET, true) === 0 &&
    view.getUint16(TAIL_OFFSET + 4, true) === TAIL_BYTES &&
    view.getUint8(TAIL_OFFSET + 6) === 0 &&
    view.getUint8(TAIL_OFFSET + 7) === ext4.FT_DIR_CSUM;
  if (!isTail) throw invalidImage(place.where, "a checksum tail at offset 4084", "something else");
  const computed = crc32c(place.inode.checksumSeed, place.bytes.subarray(0, TAIL_OFFSET));
  requireChecksum(place.where, computed, view.getUint32(TAIL_OFFSET + 8, true));
}

/** "Hash Tree Directories", dx_tail: behind the last entry that there is room for; covers the used entries. */
function checkHashTreeBlock(place: BlockPlace, entriesOffset: number): void {
  const { view, bytes } = place;
  const roomCount = view.getUint16(entriesOffset, true);
  const entryCount = view.getUint16(entriesOffset + 2, true);
  const roomCountMax = Math.floor((ext4.BLOCK_BYTES - 8 - entriesOffset) / DX_ENTRY_BYTES);
  if (roomCount < 1 || roomCount > roomCountMax) {
    throw invalidImage(`${place.where} hash tree limit`, `1 to ${roomCountMax}`, roomCount);
  }
  if (entryCount < 1 || entryCount > roomCount) {
    throw invalidImage(`${place.where} hash tree count`, `1 to ${roomCount}`, entryCount);
  }
  const tail = entriesOffset + roomCount * DX_ENTRY_BYTES;
  let crc = crc32c(place.inode.checksumSeed, bytes.subarray(0, entriesOffset + entryCount * DX_ENTRY_BYTES));
  crc = crc32c(crc, bytes.subarray(tail, tail + 4));
  crc = crc32c(crc, new Uint8Array(4));
  requireChecksum(place.where, crc, view.getUint32(tail + 4, true));
}

function readEntry(image: DiskImage, place: BlockPlace, at: number, end: number): RawEntry {
  const { view } = place;
  const where = `${place.where} offset ${at}`;
  if (at + ENTRY_HEADER_BYTES > end) throw invalidImage(where, "an entry", "the end of the block");
  const inodeNumber = view.getUint32(at, true);
  const recordBytes = view.getUint16(at + 4, true);
  const nameBytes = view.getUint8(at + 6);
  const neededBytes = inodeNumber === 0 ? ENTRY_HEADER_BYTES : ENTRY_HEADER_BYTES + nameBytes;
  if (recordBytes < Math.max(neededBytes, TAIL_BYTES) || recordBytes % 4 !== 0 || at + recordBytes > end) {
    throw invalidImage(`${where} rec_len`, `a multiple of 4, ${neededBytes} to ${end - at}`, recordBytes);
  }
  if (inodeNumber > image.superblock.inodeCount) {
    throw invalidImage(`${where} inode`, `at most ${image.superblock.inodeCount}`, inodeNumber);
  }
  const nameAt = at + ENTRY_HEADER_BYTES;
  const name = inodeNumber === 0 ? "" : toByteString(place.bytes.subarray(nameAt, nameAt + nameBytes));
  return { where, inodeNumber, recordBytes, name: asByteString(name), typeNumber: view.getUint8(at + 7) };
}

function requireDot(entry: RawEntry, name: ByteString, inodeNumber: number): void {
  if (entry.name !== name || entry.typeNumber !== ext4.FT_DIR) {
    throw invalidImage(entry.where, `the directory ${name}`, showByteString(entry.name));
  }
  if (entry.inodeNumber !== inodeNumber) {
    throw invalidImage(`${entry.where} inode of ${name}`, inodeNumber, entry.inodeNumber);
  }
}

function checkEntry(image: DiskImage, entry: RawEntry): Ext4DirectoryEntry {
  const { where, name, inodeNumber } = entry;
  if (name.length === 0 || name === DOT || name === DOT_DOT || /[/\0]/.test(name)) {
    throw invalidImage(`${where} name`, `1 to ${NAME_BYTES_MAX} bytes, no / or NUL`, showByteString(name));
  }
  if (inodeNumber < image.superblock.firstInodeNumber) {
    throw invalidImage(`${where} inode`, `at least ${image.superblock.firstInodeNumber}`, inodeNumber);
  }
  const type = TYPE_OF_NUMBER.get(entry.typeNumber);
  if (type === undefined) throw invalidImage(`${where} file_type`, "1 to 7", entry.typeNumber);
  return { name, inodeNumber, type };
}
