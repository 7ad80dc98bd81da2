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
import { encodeIndexedDirectory, indexedBlockCount, indexNames, type NameIndex } from "./htree.ts";

/** `.` and `..` take 12 bytes each. */
const DOTS_BYTES = 24;

/**
 * How a directory's names, which come in byte order, lie in its blocks: `undefined` where one block has them all, in that order.
 * Whatever needs more is indexed, as the kernel does.
 * @throws TREE_TOO_LARGE where an index does not reach
 */
export function layNames(names: readonly ByteString[], path: () => string): NameIndex | undefined {
  return isLinear(names) ? undefined : indexNames(names, path);
}

/** How many blocks the directory takes. */
export function directoryBlockCount(index: NameIndex | undefined): number {
  return index === undefined ? 1 : indexedBlockCount(index);
}

/** The directory's blocks, with checksums. `index` is what `layNames` gives for the entries' names. */
export function encodeDirectory(content: DirectoryContent, index: NameIndex | undefined): Uint8Array[] {
  if (index !== undefined) return encodeIndexedDirectory(content, index);
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
