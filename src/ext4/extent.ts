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

/** Extents of any length as extents that ext4 can hold. */
export function splitExtents(runs: readonly Extent[]): Extent[] {
  const extents: Extent[] = [];
  for (const { fileBlock, diskBlock, blockCount } of runs) {
    for (let at = 0; at < blockCount; at += EXTENT_BLOCKS_MAX) {
      const length = Math.min(EXTENT_BLOCKS_MAX, blockCount - at);
      extents.push({ fileBlock: fileBlock + at, diskBlock: diskBlock + at, blockCount: length });
    }
  }
  return extents;
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

/** Builds the tree of an inode: leaves first, then each level above, all in blocks from `firstBlock` on. */
export function buildExtentTree(
  extents: readonly Extent[],
  place: { readonly inodeNumber: number; readonly firstBlock: number },
): ExtentTree {
  const blocks: Uint8Array[] = [];
  let level: LevelEntry[] = extents.map((extent) => ({ fileBlock: extent.fileBlock, extent, child: 0 }));
  let depth = 0;
  while (level.length > ROOT_ENTRIES) {
    const above: LevelEntry[] = [];
    for (let at = 0; at < level.length; at += BLOCK_ENTRIES) {
      const members = level.slice(at, at + BLOCK_ENTRIES);
      const bytes = new Uint8Array(BLOCK_BYTES);
      encodeNode(bytes, members, { depth, entriesMax: BLOCK_ENTRIES });
      const tailOffset = HEADER_BYTES + BLOCK_ENTRIES * ENTRY_BYTES;
      putUint32(bytes, tailOffset, crc32c(inodeSeed(place.inodeNumber), bytes.subarray(0, tailOffset)));
      above.push({
        fileBlock: members[0]?.fileBlock ?? 0,
        extent: undefined,
        child: place.firstBlock + blocks.length,
      });
      blocks.push(bytes);
    }
    level = above;
    depth++;
  }
  const iBlock = new Uint8Array(I_BLOCK_BYTES);
  encodeNode(iBlock, level, { depth, entriesMax: ROOT_ENTRIES });
  assert(
    blocks.length === extentBlockCount(extents.length),
    "the extent tree has the number of blocks planned",
  );
  return { iBlock, blocks };
}

/** A leaf's extent, or an index entry that names a block of the level below. */
interface LevelEntry {
  readonly fileBlock: number;
  readonly extent: Extent | undefined;
  readonly child: number;
}

function encodeNode(
  bytes: Uint8Array,
  entries: readonly LevelEntry[],
  shape: { readonly depth: number; readonly entriesMax: number },
): void {
  putUint16(bytes, 0, EXTENT_MAGIC);
  putUint16(bytes, 2, entries.length);
  putUint16(bytes, 4, shape.entriesMax);
  putUint16(bytes, 6, shape.depth);
  entries.forEach(({ fileBlock, extent, child }, i) => {
    const at = HEADER_BYTES + i * ENTRY_BYTES;
    putUint32(bytes, at, fileBlock);
    if (extent === undefined) {
      putUint32(bytes, at + 4, child); // ei_leaf_lo
    } else {
      putUint16(bytes, at + 4, extent.blockCount); // ee_len
      putUint32(bytes, at + 8, extent.diskBlock); // ee_start_lo
    }
  });
}
