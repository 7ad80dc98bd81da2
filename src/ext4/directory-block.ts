/** One block of directory entries (kernel documentation, "Linear (Classic) Directories"). */
import { putUint16, putUint32, writeByteString, type ByteString } from "../base/bytes.ts";
import { assert } from "../base/error.ts";
import { alignUp } from "../base/units.ts";
import { BLOCK_BYTES, FT_DIR_CSUM } from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { inodeSeed } from "./inode.ts";

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: ByteString;
  readonly inodeNumber: number;
  /** FT_REG_FILE and so on. */
  readonly fileType: number;
}

/** A directory as its inode numbers it; the entries in byte order of their names, without `.` and `..`. */
export interface DirectoryContent {
  readonly inodeNumber: number;
  readonly parentInodeNumber: number;
  readonly entries: readonly DirectoryEntry[];
}

/** "struct ext4_dir_entry_tail": 12 bytes at the end of each block of entries. */
const TAIL_BYTES = 12;
/** Bytes of a block that entries may fill. */
export const DIRECTORY_ROOM_BYTES: number = BLOCK_BYTES - TAIL_BYTES;
/** Bytes of the entry for a name: 8 and the name, padded to 4. */
export function directoryEntryBytes(name: ByteString): number {
  return 8 + alignUp(name.length, 4);
}

/** One block of entries: the last one's length reaches to the tail, and the tail holds the checksum. */
export function encodeEntryBlock(entries: readonly DirectoryEntry[], inodeNumber: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  let at = 0;
  entries.forEach(({ name, inodeNumber: named, fileType }, i) => {
    const length = i === entries.length - 1 ? DIRECTORY_ROOM_BYTES - at : directoryEntryBytes(name);
    assert(length >= directoryEntryBytes(name), "directory entries fit their block");
    putUint32(block, at, named);
    putUint16(block, at + 4, length);
    block[at + 6] = name.length;
    block[at + 7] = fileType;
    writeByteString(block, name, at + 8);
    at += length;
  });
  assert(at === DIRECTORY_ROOM_BYTES, "directory entries fill their block exactly");
  putUint16(block, at + 4, TAIL_BYTES);
  block[at + 7] = FT_DIR_CSUM;
  putUint32(block, at + 8, crc32c(inodeSeed(inodeNumber), block.subarray(0, at)));
  return block;
}
