/** Directories: one block of entries, or more under an index (kernel documentation, "Directory Entries"). */
import { asByteString, type ByteString } from "../base/bytes.ts";
import { FT_DIR } from "./constants.ts";
import {
  DIRECTORY_ROOM_BYTES,
  directoryEntryBytes,
  encodeEntryBlock,
  type DirectoryContent,
  type DirectoryEntry,
} from "./directory-block.ts";
import { encodeIndexedDirectory, indexedBlockCount } from "./htree.ts";

/** `.` and `..` take 12 bytes each. */
const DOTS_BYTES = 24;

/** How many blocks the directory takes. One block is linear; whatever needs more is indexed, as the kernel does. */
export function directoryBlockCount(names: readonly ByteString[], path: () => string): number {
  return isLinear(names) ? 1 : indexedBlockCount(names, path);
}

/** The directory's blocks, with checksums. */
export function encodeDirectory(content: DirectoryContent): Uint8Array[] {
  if (!isLinear(content.entries.map((entry) => entry.name))) return encodeIndexedDirectory(content);
  const dots: DirectoryEntry[] = [
    { name: asByteString("."), inodeNumber: content.inodeNumber, fileType: FT_DIR },
    { name: asByteString(".."), inodeNumber: content.parentInodeNumber, fileType: FT_DIR },
  ];
  return [encodeEntryBlock([...dots, ...content.entries], content.inodeNumber)];
}

function isLinear(names: readonly ByteString[]): boolean {
  let bytes = DOTS_BYTES;
  for (const name of names) {
    bytes += directoryEntryBytes(name);
    if (bytes > DIRECTORY_ROOM_BYTES) return false;
  }
  return true;
}
