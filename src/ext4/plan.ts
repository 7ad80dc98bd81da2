/**
 * The plan of a disk image: where every byte that is not file content goes. Pure: it reads the tree and the sizes of
 * the segments, and decides (docs/format/disk-image.md, "Order").
 */
import { LambdaImgError, assert } from "../base/error.ts";
import { asByteString, compareByteStrings, showByteString, type ByteString } from "../base/bytes.ts";
import { LINK_COUNT_MAX } from "../base/limit.ts";
import { alignUp, divCeil } from "../base/units.ts";
import { coarse } from "../tree/slots.ts";
import type { Inode, Tree } from "../tree/tree.ts";
import { BLOCK_BYTES, EXTENT_BLOCKS_MAX, FAST_SYMLINK_BYTES } from "./constants.ts";
import { directoryBlockCount } from "./directory.ts";
import { extentBlockCount, splitExtents, type Extent } from "./extent.ts";
import { planGeometry, type Geometry, type SizeRequest } from "./geometry.ts";
import { clampTime } from "./inode.ts";
import { numberInodes, type Numbering } from "./numbering.ts";
import { CHUNK_BLOCKS } from "./profile.ts";
import { XATTR_REFERENCES_MAX, placeXattrs, xattrsKey, type DiskXattr } from "./xattr.ts";

/** What there is to be laid out. */
export interface PlanInput {
  readonly tree: Tree;
  /** Chunks of each layer's segment, by layer index. */
  readonly segmentChunkCounts: readonly number[];
  readonly sizeRequest: SizeRequest;
}

/** A run of metadata blocks of one inode; all zero where the inode needs none. */
export interface InodePlace {
  /** Blocks of a directory or a long symlink. */
  readonly dataBlock: number;
  readonly dataBlockCount: number;
  /** Blocks of the extent tree. */
  readonly extentBlock: number;
  readonly extentBlockCount: number;
  /** The shared block of attributes, or 0. */
  readonly xattrBlock: number;
  /** Blocks of the attributes' values that are inodes of their own: counted to each inode that has them. */
  readonly xattrValueBlockCount: number;
}

/** A block of attributes and how many inodes share it. */
export interface XattrBlock {
  readonly blockNumber: number;
  readonly xattrs: readonly DiskXattr[];
  referenceCount: number;
}

/** A value that is the content of an inode of its own. */
export interface ValueInode {
  readonly inodeNumber: number;
  readonly value: Uint8Array;
  readonly dataBlock: number;
  referenceCount: number;
}

/** Everything that the disk writer needs. */
export interface DiskPlan {
  readonly geometry: Geometry;
  readonly numbering: Numbering;
  /** First block of each layer's segment, by layer index. */
  readonly segmentStarts: readonly number[];
  /** By inode number, only for inodes that need blocks of metadata. */
  readonly places: ReadonlyMap<number, InodePlace>;
  readonly xattrBlocks: readonly XattrBlock[];
  /** By `valueKey`, in order of inode number. */
  readonly valueInodes: ReadonlyMap<string, ValueInode>;
  /** How many inodes have an mtime that ext4 cannot hold. */
  readonly clampedTimeCount: number;
}

/**
 * Lays out the disk.
 * @throws LINKS_TOO_MANY, XATTR_TOO_LARGE, XATTR_INVALID, XATTR_UNSUPPORTED, TREE_TOO_LARGE, DISK_TOO_SMALL, DISK_TOO_LARGE
 */
export function planDisk(input: PlanInput): DiskPlan {
  const layout = layLayers(input);
  const metadata = new MetadataPlanner(input.tree, layout);
  metadata.placeAll();
  return {
    geometry: planGeometry({ metadataEnd: metadata.end, endNumber: metadata.endNumber }, input.sizeRequest),
    numbering: metadata.numbering,
    segmentStarts: layout.segmentStarts,
    places: metadata.places,
    xattrBlocks: metadata.xattrBlocks,
    valueInodes: metadata.valueInodes,
    clampedTimeCount: metadata.clampedTimeCount,
  };
}

/** First blocks, by layer index. */
interface LayerLayout {
  readonly segmentStarts: readonly number[];
  /** Where the blocks of the layer's directories are, one for each slot. */
  readonly directoryStarts: readonly number[];
  readonly rootDirectoryBlock: number;
  readonly end: number;
}

/**
 * Segments, base first, each followed by the blocks of its layer's directories: so where a layer lies depends on
 * those below it alone. Layers of few directories share chunks at the end instead.
 */
function layLayers({ segmentChunkCounts, tree }: PlanInput): LayerLayout {
  const directorySlots = (layerIndex: number): number => tree.slots[layerIndex]?.directories ?? 0;
  const directoryStarts: number[] = [];
  const segmentStarts: number[] = [];
  // Chunk 0 is the superblock's and the group descriptors'.
  let chunk = 1;
  for (const [layerIndex, chunkCount] of segmentChunkCounts.entries()) {
    segmentStarts.push(chunk * CHUNK_BLOCKS);
    chunk += coarse(chunkCount, 1);
    if (directorySlots(layerIndex) < CHUNK_BLOCKS) continue;
    directoryStarts[layerIndex] = chunk * CHUNK_BLOCKS;
    chunk += coarse(divCeil(directorySlots(layerIndex), CHUNK_BLOCKS), 1);
  }
  const rootDirectoryBlock = chunk * CHUNK_BLOCKS;
  let end = rootDirectoryBlock + 1;
  for (const layerIndex of segmentChunkCounts.keys()) {
    if (directorySlots(layerIndex) >= CHUNK_BLOCKS) continue;
    directoryStarts[layerIndex] = end;
    end += coarse(directorySlots(layerIndex), SMALL_LAYER_UNIT);
  }
  return { segmentStarts, directoryStarts, rootDirectoryBlock, end };
}

/** Room for the directories of a small layer is a multiple of this many blocks. */
const SMALL_LAYER_UNIT = 8;

/** The extents of a file on the disk, each no longer than ext4 allows. */
export function fileExtents(inode: Inode, segmentStarts: readonly number[]): Extent[] {
  const start = segmentStarts[inode.layerIndex];
  assert(start !== undefined, "every file lies in a segment");
  return splitExtents(
    (inode.body?.runs ?? []).map(({ fileBlock, segmentBlock, blockCount }) => ({
      fileBlock,
      diskBlock: start + segmentBlock,
      blockCount,
    })),
  );
}

/** The extents of metadata that lies in consecutive blocks. */
export function consecutiveExtents(diskBlock: number, blockCount: number): Extent[] {
  return splitExtents(blockCount === 0 ? [] : [{ fileBlock: 0, diskBlock, blockCount }]);
}

/** The directory's names in byte order. */
export function sortedNames(directory: Inode): ByteString[] {
  return [...(directory.children?.keys() ?? [])].sort(compareByteStrings);
}

type XattrUse = Pick<InodePlace, "xattrBlock" | "xattrValueBlockCount">;

const NO_XATTRS: XattrUse = { xattrBlock: 0, xattrValueBlockCount: 0 };

/** Hands out metadata blocks in the order of inode numbers; directories of one block have theirs by their slot. */
class MetadataPlanner {
  readonly numbering: Numbering;
  readonly places = new Map<number, InodePlace>();
  readonly xattrBlocks: XattrBlock[] = [];
  readonly valueInodes = new Map<string, ValueInode>();
  end: number;
  endNumber: number;
  clampedTimeCount = 0;
  readonly #tree: Tree;
  readonly #layout: LayerLayout;
  readonly #sharedBlocks = new Map<string, XattrBlock>();

  constructor(tree: Tree, layout: LayerLayout) {
    this.#tree = tree;
    this.#layout = layout;
    this.numbering = numberInodes(tree);
    this.end = layout.end;
    this.endNumber = this.numbering.endNumber;
  }

  placeAll(): void {
    for (const inode of this.numbering.inodes) if (inode !== undefined) this.#place(inode);
    this.end = alignUp(this.end, CHUNK_BLOCKS);
    // Values have no place among the layers' inodes; their numbers and blocks come last.
    for (const [key, planned] of this.valueInodes) {
      this.valueInodes.set(key, { ...planned, inodeNumber: this.endNumber++, dataBlock: this.end });
      this.end += divCeil(planned.value.length, BLOCK_BYTES);
    }
    this.end = alignUp(this.end, CHUNK_BLOCKS);
  }

  #place(inode: Inode): void {
    const path = (): string => pathOf(this.#tree, inode);
    if (inode.nameCount > LINK_COUNT_MAX) throw tooManyLinks(path(), inode.nameCount);
    if (clampTime(inode.mtime).isClamped) this.clampedTimeCount++;
    const dataBlockCount = metadataBlockCount(inode, path);
    const extents =
      inode.type === "file" ? fileExtentCount(inode) : divCeil(dataBlockCount, EXTENT_BLOCKS_MAX);
    const treeBlocks = extentBlockCount(extents);
    const hasXattrs = inode.xattrs !== undefined && inode.xattrs.size > 0;
    if (dataBlockCount + treeBlocks === 0 && !hasXattrs) return;
    const dataBlock =
      dataBlockCount === 1 && inode.type === "dir" ? this.#slotBlock(inode) : this.#take(dataBlockCount);
    const extentBlock = this.#take(treeBlocks);
    const xattrs = hasXattrs ? this.#placeXattrs(inode, path) : NO_XATTRS;
    this.places.set(this.numbering.numberOf(inode), {
      dataBlock,
      dataBlockCount,
      extentBlock,
      extentBlockCount: treeBlocks,
      ...xattrs,
    });
  }

  /** The block that a directory of one block has in its layer's run. */
  #slotBlock(directory: Inode): number {
    if (directory.slot < 0) return this.#layout.rootDirectoryBlock;
    const start = this.#layout.directoryStarts[directory.layerIndex];
    assert(start !== undefined, "every layer with directories has room for them");
    return start + directory.slot;
  }

  #take(blockCount: number): number {
    const first = this.end;
    this.end += blockCount;
    return first;
  }

  #placeXattrs(inode: Inode, path: () => string): XattrUse {
    const { inBlock } = placeXattrs(inode, path);
    if (inBlock.length === 0) return NO_XATTRS;
    const key = xattrsKey(inBlock);
    let block = this.#sharedBlocks.get(key);
    if (block === undefined || block.referenceCount >= XATTR_REFERENCES_MAX) {
      block = { blockNumber: this.#take(1), xattrs: inBlock, referenceCount: 0 };
      this.#sharedBlocks.set(key, block);
      this.xattrBlocks.push(block);
      // A block counts as one reference to each of its values, however many inodes share it.
      for (const { value, isInInode } of inBlock) if (isInInode) this.#addValue(value);
    }
    block.referenceCount++;
    const valueBlocks = inBlock.map(({ value, isInInode }) =>
      isInInode ? divCeil(value.length, BLOCK_BYTES) : 0,
    );
    return {
      xattrBlock: block.blockNumber,
      xattrValueBlockCount: valueBlocks.reduce((sum, count) => sum + count, 0),
    };
  }

  #addValue(value: Uint8Array): void {
    const key = valueKey(value);
    const planned = this.valueInodes.get(key) ?? { inodeNumber: 0, value, dataBlock: 0, referenceCount: 0 };
    planned.referenceCount++;
    this.valueInodes.set(key, planned);
  }
}

/** A key that is equal for equal values. */
export function valueKey(value: Uint8Array): string {
  return xattrsKey([{ nameIndex: 0, name: asByteString(""), value, isInInode: true }]);
}

function metadataBlockCount(inode: Inode, path: () => string): number {
  if (inode.type === "dir") return directoryBlockCount(sortedNames(inode), path);
  // "Fast Symbolic Links": a target shorter than 60 bytes lies in the inode.
  return inode.type === "symlink" && inode.linkTarget.length >= FAST_SYMLINK_BYTES ? 1 : 0;
}

function fileExtentCount(inode: Inode): number {
  return (inode.body?.runs ?? []).reduce(
    (sum, { blockCount }) => sum + divCeil(blockCount, EXTENT_BLOCKS_MAX),
    0,
  );
}

/** One path of the inode, found by a walk: for messages only. */
function pathOf(tree: Tree, wanted: Inode): string {
  const todo: { path: string; inode: Inode }[] = [{ path: "", inode: tree.rootDirectory }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (next.inode === wanted) return next.path === "" ? "/" : next.path;
    for (const [name, inode] of next.inode.children ?? []) {
      todo.push({ path: `${next.path}/${showByteString(name)}`, inode });
    }
  }
  return "(unnamed inode)";
}

function tooManyLinks(path: string, count: number): LambdaImgError {
  return new LambdaImgError(
    "LINKS_TOO_MANY",
    `${path}: too many hard links: expected at most ${LINK_COUNT_MAX}, found ${count}`,
    { details: { limit: LINK_COUNT_MAX, found: count } },
  );
}
