/**
 * Writes everything of a disk image that is not file content, chunk by chunk in ascending order, chunk 0 last: the
 * superblock counts what the others hold.
 */
import { assert, definite } from "../base/error.ts";
import { fromByteString } from "../base/bytes.ts";
import type { Inode } from "../tree/tree.ts";
import { Bitmap } from "./bitmap.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  EXT4_EA_INODE_FL,
  EXT4_EXTENTS_FL,
  EXT4_INDEX_FL,
  FIRST_INODE_NUMBER,
  INODES_PER_BLOCK,
  S_IFREG,
  SUPERBLOCK_OFFSET,
} from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { encodeDirectory } from "./directory.ts";
import type { DirectoryContent } from "./directory-block.ts";
import { buildExtentTree, type Extent } from "./extent.ts";
import { FILE_TYPES, deviceBlock, directoryLinkCount, modeOf } from "./file-type.ts";
import { clampTime, encodeInode, I_BLOCK_BYTES, inodeRooms, type InodeFields } from "./inode.ts";
import { sortedNames, valueKey, type InodePlace, type ValueInode } from "./metadata-needs.ts";
import { consecutiveExtents, fileExtents, segmentStart, type DiskPlan } from "./plan.ts";
import { CHECKSUM_SEED, CHUNK_BLOCKS } from "./profile.ts";
import { encodeGroupDescriptors, encodeSuperblock, groupBlockCount, type GroupUse } from "./superblock.ts";
import { encodeInodeXattrs, encodeXattrBlock, hashValue, placeXattrs } from "./xattr.ts";

/** A chunk of metadata; the bytes are the receiver's. */
export interface MetadataChunk {
  readonly chunkIndex: number;
  readonly bytes: Uint8Array;
}

const NO_PLACE: InodePlace = {
  dataBlock: 0,
  dataBlockCount: 0,
  nameIndex: undefined,
  extentBlock: 0,
  extentBlockCount: 0,
  xattrBlock: 0,
  xattrValueBlockCount: 0,
};
const SECTORS_PER_BLOCK = BLOCK_BYTES / 512;

/**
 * Gives every chunk that holds metadata, in memory from `newChunk`: of a chunk, all zero. Chunks that it does not give are file content
 * or zero.
 */
export function* writeMetadata(plan: DiskPlan, newChunk: () => Uint8Array): Generator<MetadataChunk> {
  const { geometry } = plan;
  const first = newChunk();
  const chunks = new ChunkAssembler(first, newChunk);
  yield* writeMetadataBlocks(plan, chunks);
  yield* writeInodeTables(plan, chunks);
  const blocksUsed = usedBlocks(plan);
  const inodesUsed = usedInodes(plan);
  const groups = groupUses(plan, blocksUsed, inodesUsed);
  first.set(
    encodeSuperblock(geometry, groups, { hasValueInodes: plan.valueInodes.size > 0 }),
    SUPERBLOCK_OFFSET,
  );
  first.set(encodeGroupDescriptors(geometry, groups), BLOCK_BYTES);
  for (const [block, bytes] of bitmapBlocks(plan, groups, { blocksUsed, inodesUsed }))
    yield* chunks.put(block, bytes);
  yield* chunks.finish();
  yield { chunkIndex: 0, bytes: first };
}

function* bitmapBlocks(
  plan: DiskPlan,
  groups: readonly GroupUse[],
  use: { readonly blocksUsed: Bitmap; readonly inodesUsed: Bitmap },
): Generator<readonly [number, Uint8Array]> {
  const { blockBitmapStart, inodeBitmapStart } = plan.geometry;
  for (const [index, group] of groups.entries()) {
    if (!group.isBlockBitmapOmitted)
      yield [blockBitmapStart + index, blockBitmap(plan, use.blocksUsed, index)];
  }
  for (const [index, group] of groups.entries()) {
    if (!group.isInodeBitmapOmitted)
      yield [inodeBitmapStart + index, inodeBitmap(plan, use.inodesUsed, index)];
  }
}

/** Gathers blocks into chunks: those of chunk 0, which ends last, in any order, and the others as they ascend. */
class ChunkAssembler {
  readonly #first: Uint8Array;
  readonly #newChunk: () => Uint8Array;
  #chunkIndex = -1;
  #bytes: Uint8Array | undefined;

  constructor(first: Uint8Array, newChunk: () => Uint8Array) {
    this.#first = first;
    this.#newChunk = newChunk;
  }

  *put(block: number, bytes: Uint8Array): Generator<MetadataChunk> {
    const chunkIndex = Math.floor(block / CHUNK_BLOCKS);
    if (chunkIndex === 0) {
      this.#first.set(bytes, block * BLOCK_BYTES);
      return;
    }
    if (chunkIndex !== this.#chunkIndex) {
      assert(chunkIndex > this.#chunkIndex, "metadata is written in ascending order");
      yield* this.finish();
      this.#chunkIndex = chunkIndex;
    }
    this.#bytes ??= this.#newChunk();
    this.#bytes.set(bytes, (block % CHUNK_BLOCKS) * BLOCK_BYTES);
  }

  *finish(): Generator<MetadataChunk> {
    if (this.#bytes !== undefined) yield { chunkIndex: this.#chunkIndex, bytes: this.#bytes };
    this.#bytes = undefined;
  }
}

/** Blocks that lie one after another, made when their turn comes. */
interface BlockRun {
  readonly firstBlock: number;
  makeBlocks(): readonly Uint8Array[];
}

/** Directories, long symlinks, extent blocks, attributes: in the order of their places. */
function* writeMetadataBlocks(plan: DiskPlan, chunks: ChunkAssembler): Generator<MetadataChunk> {
  const runs = [...inodeRuns(plan), ...xattrRuns(plan)].sort((a, b) => a.firstBlock - b.firstBlock);
  for (const run of runs) {
    let block = run.firstBlock;
    for (const bytes of run.makeBlocks()) yield* chunks.put(block++, bytes);
  }
}

function* inodeRuns(plan: DiskPlan): Generator<BlockRun> {
  for (const [inodeNumber, place] of plan.places) {
    const inode = definite(plan.numbering.inodes[inodeNumber], "a planned inode exists");
    if (place.dataBlockCount > 0) {
      const makeBlocks = (): readonly Uint8Array[] => {
        const blocks = dataBlocks(plan, inode, place);
        assert(
          blocks.length === place.dataBlockCount,
          "an inode's metadata has the planned number of blocks",
        );
        return blocks;
      };
      yield { firstBlock: place.dataBlock, makeBlocks };
    }
    if (place.extentBlockCount === 0) continue;
    const at = { inodeNumber, firstBlock: place.extentBlock };
    yield {
      firstBlock: at.firstBlock,
      makeBlocks: () => buildExtentTree(extentsOf(plan, inode, place), at).blocks,
    };
  }
}

function* xattrRuns(plan: DiskPlan): Generator<BlockRun> {
  const valueInodeNumber = (value: Uint8Array): number =>
    definite(plan.valueInodes.get(valueKey(value)), "every large value has an inode").inodeNumber;
  for (const block of plan.xattrBlocks) {
    const makeBlocks = (): Uint8Array[] => [encodeXattrBlock(block.xattrs, { ...block, valueInodeNumber })];
    yield { firstBlock: block.blockNumber, makeBlocks };
  }
  for (const { value, dataBlock } of plan.valueInodes.values()) {
    const makeBlocks = (): Uint8Array[] =>
      Array.from({ length: Math.ceil(value.length / BLOCK_BYTES) }, (_, i) =>
        value.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES),
      );
    yield { firstBlock: dataBlock, makeBlocks };
  }
}

function dataBlocks(plan: DiskPlan, inode: Inode, { nameIndex }: InodePlace): Uint8Array[] {
  if (inode.type === "dir") return encodeDirectory(directoryContent(plan, inode), nameIndex);
  return inode.type === "symlink" && inode.linkTarget.length >= I_BLOCK_BYTES
    ? [fromByteString(inode.linkTarget)]
    : [];
}

function directoryContent(plan: DiskPlan, directory: Inode): DirectoryContent {
  return {
    inodeNumber: plan.numbering.numberOf(directory),
    parentInodeNumber: plan.numbering.numberOf(plan.numbering.parentOf(directory)),
    entries: sortedNames(directory).map((name) => {
      const inode = definite(directory.children?.get(name), "a listed name exists");
      return {
        name,
        inodeNumber: plan.numbering.numberOf(inode),
        fileType: FILE_TYPES[inode.type].directoryType,
      };
    }),
  };
}

function extentsOf(plan: DiskPlan, inode: Inode, place: InodePlace): Extent[] {
  if (inode.type === "file") return fileExtents(inode, plan.segmentStarts);
  return consecutiveExtents(place.dataBlock, place.dataBlockCount);
}

function* writeInodeTables(plan: DiskPlan, chunks: ChunkAssembler): Generator<MetadataChunk> {
  const { inodeTableStart } = plan.geometry;
  const { inodes, endNumber } = plan.numbering;
  // They come behind the tree's inodes.
  const values = [...plan.valueInodes.values()];
  const fieldsOf = (inodeNumber: number): InodeFields | undefined => {
    const inode = inodes[inodeNumber];
    if (inode !== undefined) return inodeFields(plan, inode, inodeNumber);
    const value = inodeNumber < endNumber ? undefined : values[inodeNumber - endNumber];
    return value === undefined ? undefined : valueFields(value);
  };
  // One block for all: the chunks take copies, and a million inodes would leave a quarter of a gigabyte for the collector.
  const block = new Uint8Array(BLOCK_BYTES);
  const rooms = inodeRooms(block);
  for (let first = 1; first < endNumber + values.length; first += INODES_PER_BLOCK) {
    let isUsed = false;
    for (let i = 0; i < INODES_PER_BLOCK; i++) {
      const fields = fieldsOf(first + i);
      if (fields === undefined) continue;
      if (!isUsed) block.fill(0);
      isUsed = true;
      encodeInode(definite(rooms[i], "every inode of a block has its room"), fields);
    }
    if (isUsed) yield* chunks.put(inodeTableStart + (first - 1) / INODES_PER_BLOCK, block);
  }
}

function inodeFields(plan: DiskPlan, inode: Inode, inodeNumber: number): InodeFields {
  const place = plan.places.get(inodeNumber) ?? NO_PLACE;
  const hasExtents = inode.type === "file" || place.dataBlockCount > 0;
  const extents = hasExtents ? extentsOf(plan, inode, place) : [];
  let blockCount = place.extentBlockCount + (place.xattrBlock > 0 ? 1 : 0) + place.xattrValueBlockCount;
  for (const extent of extents) blockCount += extent.blockCount;
  // A directory of more than one block has an index (directory.ts).
  const isIndexedDirectory = inode.type === "dir" && place.dataBlockCount > 1;
  return {
    inodeNumber,
    mode: modeOf(inode),
    uid: inode.uid,
    gid: inode.gid,
    sizeBytes: sizeOf(inode, place),
    mtime: clampTime(inode.mtime).time,
    linkCount: inode.type === "dir" ? directoryLinkCount(inode) : inode.nameCount,
    sectorCount: blockCount * SECTORS_PER_BLOCK,
    flags: (hasExtents ? EXT4_EXTENTS_FL : 0) | (isIndexedDirectory ? EXT4_INDEX_FL : 0),
    iBlock: hasExtents
      ? buildExtentTree(extents, { inodeNumber, firstBlock: place.extentBlock }).iBlock
      : blockArray(inode),
    xattrBlock: place.xattrBlock,
    xattrBytes:
      inode.xattrs === undefined || place.xattrBlock > 0
        ? undefined
        : encodeInodeXattrs(placeXattrs(inode, () => `inode ${inodeNumber}`).inInode),
    xattrValue: undefined,
  };
}

function sizeOf(inode: Inode, place: InodePlace): number {
  if (inode.type === "dir") return place.dataBlockCount * BLOCK_BYTES;
  return inode.type === "symlink" ? inode.linkTarget.length : (inode.body?.sizeBytes ?? 0);
}

/** i_block of what has no blocks: a short symlink's target, a device's number, or zeros. */
function blockArray(inode: Inode): Uint8Array {
  const bytes = new Uint8Array(I_BLOCK_BYTES);
  if (inode.type === "symlink") bytes.set(fromByteString(inode.linkTarget));
  if (inode.type === "char" || inode.type === "block") bytes.set(deviceBlock(inode));
  return bytes;
}

/** The inode whose content is an attribute's value: owned by root, named nowhere (feature ea_inode). */
function valueFields(planned: ValueInode): InodeFields {
  const blockCount = Math.ceil(planned.value.length / BLOCK_BYTES);
  return {
    inodeNumber: planned.inodeNumber,
    mode: S_IFREG | 0o600,
    uid: 0,
    gid: 0,
    sizeBytes: planned.value.length,
    mtime: { seconds: 0, nanoseconds: 0 },
    linkCount: 1,
    sectorCount: blockCount * SECTORS_PER_BLOCK,
    flags: EXT4_EXTENTS_FL | EXT4_EA_INODE_FL,
    iBlock: buildExtentTree(consecutiveExtents(planned.dataBlock, blockCount), { ...planned, firstBlock: 0 })
      .iBlock,
    xattrBlock: 0,
    xattrBytes: undefined,
    xattrValue: { referenceCount: planned.referenceCount, valueHash: hashValue(planned.value) },
  };
}

function usedBlocks(plan: DiskPlan): Bitmap {
  const { geometry } = plan;
  const used = new Bitmap(geometry.groupCount * BLOCKS_PER_GROUP);
  used.setRange(0, 1 + geometry.descriptorBlocks);
  for (const inode of plan.numbering.inodes) {
    if (inode?.type !== "file") continue;
    const start = segmentStart(inode, plan.segmentStarts);
    for (const { segmentBlock, blockCount } of inode.body?.runs ?? [])
      used.setRange(start + segmentBlock, blockCount);
  }
  for (const place of plan.places.values()) {
    used.setRange(place.dataBlock, place.dataBlockCount);
    used.setRange(place.extentBlock, place.extentBlockCount);
  }
  for (const { blockNumber } of plan.xattrBlocks) used.setRange(blockNumber, 1);
  for (const { dataBlock, value } of plan.valueInodes.values()) {
    used.setRange(dataBlock, Math.ceil(value.length / BLOCK_BYTES));
  }
  used.setRange(geometry.inodeTableStart, geometry.groupCount * geometry.inodeTableBlocksPerGroup);
  used.setRange(geometry.blockBitmapStart, geometry.groupCount);
  used.setRange(geometry.inodeBitmapStart, geometry.groupCount);
  return used;
}

function usedInodes(plan: DiskPlan): Bitmap {
  const { geometry, numbering, valueInodes } = plan;
  const used = new Bitmap(geometry.groupCount * geometry.inodesPerGroup);
  used.setRange(0, FIRST_INODE_NUMBER - 1);
  numbering.inodes.forEach((inode, inodeNumber) => {
    if (inode !== undefined) used.setRange(inodeNumber - 1, 1);
  });
  for (const { inodeNumber } of valueInodes.values()) used.setRange(inodeNumber - 1, 1);
  return used;
}

function groupUses(plan: DiskPlan, blocksUsed: Bitmap, inodesUsed: Bitmap): GroupUse[] {
  const { geometry, numbering } = plan;
  const { inodesPerGroup, groupCount } = geometry;
  const directories = new Array<number>(groupCount).fill(0);
  numbering.inodes.forEach((inode, inodeNumber) => {
    const group = Math.floor((inodeNumber - 1) / inodesPerGroup);
    if (inode?.type === "dir") directories[group] = (directories[group] ?? 0) + 1;
  });
  return directories.map((directoryCount, group) => {
    const blockStart = group * BLOCKS_PER_GROUP;
    const inodeStart = group * inodesPerGroup;
    const blockUse = blocksUsed.countRange(blockStart, blockStart + BLOCKS_PER_GROUP);
    const inodeUse = inodesUsed.countRange(inodeStart, inodeStart + inodesPerGroup);
    // "Lazy Block Group Initialization": the last group's bitmap must always be there, since its end is short.
    const isBlockBitmapOmitted = blockUse === 0 && group < groupCount - 1;
    return {
      freeBlocks: groupBlockCount(geometry, group) - blockUse,
      freeInodes: inodesPerGroup - inodeUse,
      directories: directoryCount,
      unusedInodes: inodesPerGroup - inodesUsed.lastSetAfter(inodeStart, inodeStart + inodesPerGroup),
      isBlockBitmapOmitted,
      isInodeBitmapOmitted: inodeUse === 0,
      blockBitmapChecksum: isBlockBitmapOmitted
        ? 0
        : crc32c(CHECKSUM_SEED, blockBitmap(plan, blocksUsed, group)),
      inodeBitmapChecksum:
        inodeUse === 0
          ? 0
          : crc32c(CHECKSUM_SEED, inodeBitmap(plan, inodesUsed, group).subarray(0, inodesPerGroup / 8)),
    };
  });
}

/** The group's block bitmap: bits past the file system's last block are set ("Block and Inode Bitmaps"). */
function blockBitmap(plan: DiskPlan, used: Bitmap, group: number): Uint8Array {
  const bytes = used.bytes.slice(group * BLOCK_BYTES, (group + 1) * BLOCK_BYTES);
  const count = groupBlockCount(plan.geometry, group);
  bytes.fill(0xff, count / 8); // A multiple of 8, since disks are whole chunks.
  return bytes;
}

/** The group's inode bitmap: bits past its last inode are set. */
function inodeBitmap(plan: DiskPlan, used: Bitmap, group: number): Uint8Array {
  const byteCount = plan.geometry.inodesPerGroup / 8;
  const bytes = new Uint8Array(BLOCK_BYTES).fill(0xff, byteCount);
  bytes.set(used.bytes.subarray(group * byteCount, (group + 1) * byteCount));
  return bytes;
}
