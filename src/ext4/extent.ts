/** Extent trees: where a file's blocks are (kernel documentation, "Extent Tree"). */
import { putUint16, putUint32 } from "../base/bytes.ts";
import { assert } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import { BLOCK_BYTES, EXTENT_BLOCKS_MAX, EXTENT_MAGIC } from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { I_BLOCK_BYTES, inodeSeed } from "./inode.ts";

/** Blocks of a file that lie one after another on the disk. */
export interface Extent {
  readonly fileBlock: number;
  readonly diskBlock: number;
  /** At most EXTENT_BLOCKS_MAX once split. */
  readonly blockCount: number;
}

const HEADER_BYTES = 12;
const ENTRY_BYTES = 12;
const ROOT_ENTRIES = 4;
/** (4096 - 12) / 12, whose remainder of 4 bytes is the block's checksum. */
const BLOCK_ENTRIES = 340;

/** Adds a run of any length to a list, as extents that ext4 can hold. */
export function addExtents(extents: Extent[], { fileBlock, diskBlock, blockCount }: Extent): void {
  for (let at = 0; at < blockCount; at += EXTENT_BLOCKS_MAX) {
    const length = Math.min(EXTENT_BLOCKS_MAX, blockCount - at);
    extents.push({ fileBlock: fileBlock + at, diskBlock: diskBlock + at, blockCount: length });
  }
}

/** How many blocks the tree of this many extents takes besides the root in the inode. */
export function extentBlockCount(extentCount: number): number {
  let blocks = 0;
  for (let entries = extentCount; entries > ROOT_ENTRIES;) {
    entries = divCeil(entries, BLOCK_ENTRIES);
    blocks += entries;
  }
  return blocks;
}

/** A tree ready to be written: the root for the inode, and blocks for consecutive places from `firstBlock`. */
export interface ExtentTree {
  readonly iBlock: Uint8Array;
  readonly blocks: readonly Uint8Array[];
}

const NO_BLOCKS: readonly Uint8Array[] = [];

/** Builds the tree of an inode: leaves first, then each level above, all in blocks from `firstBlock` on. */
export function buildExtentTree(
  extents: readonly Extent[],
  place: { readonly inodeNumber: number; readonly firstBlock: number },
): ExtentTree {
  const iBlock = new Uint8Array(I_BLOCK_BYTES);
  // Nearly every file: a million of them notice each list that is made here.
  if (extents.length <= ROOT_ENTRIES) {
    encodeExtents(iBlock, extents, ROOT_ENTRIES);
    return { iBlock, blocks: NO_BLOCKS };
  }
  const blocks: Uint8Array[] = [];
  const addBlock = (fileBlock: number, encode: (bytes: Uint8Array) => void): Child => {
    const bytes = new Uint8Array(BLOCK_BYTES);
    encode(bytes);
    const tailOffset = HEADER_BYTES + BLOCK_ENTRIES * ENTRY_BYTES;
    putUint32(bytes, tailOffset, crc32c(inodeSeed(place.inodeNumber), bytes.subarray(0, tailOffset)));
    blocks.push(bytes);
    return { fileBlock, block: place.firstBlock + blocks.length - 1 };
  };
  let level = inNodes(extents).map((members) =>
    addBlock(members[0]?.fileBlock ?? 0, (bytes) => {
      encodeExtents(bytes, members, BLOCK_ENTRIES);
    }),
  );
  let depth = 1;
  for (; level.length > ROOT_ENTRIES; depth++) {
    level = inNodes(level).map((members) =>
      addBlock(members[0]?.fileBlock ?? 0, (bytes) => {
        encodeIndex(bytes, members, { depth, entriesMax: BLOCK_ENTRIES });
      }),
    );
  }
  encodeIndex(iBlock, level, { depth, entriesMax: ROOT_ENTRIES });
  assert(
    blocks.length === extentBlockCount(extents.length),
    "the extent tree has the number of blocks planned",
  );
  return { iBlock, blocks };
}

/** A block of the level below, and the first block of the file in it. */
interface Child {
  readonly fileBlock: number;
  readonly block: number;
}

function inNodes<T>(entries: readonly T[]): (readonly T[])[] {
  const nodes: (readonly T[])[] = [];
  for (let at = 0; at < entries.length; at += BLOCK_ENTRIES)
    nodes.push(entries.slice(at, at + BLOCK_ENTRIES));
  return nodes;
}

/** A leaf: depth 0. */
function encodeExtents(bytes: Uint8Array, extents: readonly Extent[], entriesMax: number): void {
  encodeHeader(bytes, extents.length, { depth: 0, entriesMax });
  let at = HEADER_BYTES;
  for (const { fileBlock, diskBlock, blockCount } of extents) {
    putUint32(bytes, at, fileBlock);
    putUint16(bytes, at + 4, blockCount); // ee_len
    putUint32(bytes, at + 8, diskBlock); // ee_start_lo
    at += ENTRY_BYTES;
  }
}

function encodeIndex(bytes: Uint8Array, children: readonly Child[], shape: NodeShape): void {
  encodeHeader(bytes, children.length, shape);
  let at = HEADER_BYTES;
  for (const { fileBlock, block } of children) {
    putUint32(bytes, at, fileBlock);
    putUint32(bytes, at + 4, block); // ei_leaf_lo
    at += ENTRY_BYTES;
  }
}

interface NodeShape {
  readonly depth: number;
  readonly entriesMax: number;
}

function encodeHeader(bytes: Uint8Array, entryCount: number, { depth, entriesMax }: NodeShape): void {
  putUint16(bytes, 0, EXTENT_MAGIC);
  putUint16(bytes, 2, entryCount);
  putUint16(bytes, 4, entriesMax);
  putUint16(bytes, 6, depth);
}
