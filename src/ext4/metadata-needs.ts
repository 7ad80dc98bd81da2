/**
 * The metadata of a tree that takes blocks of its own: directories, long symlinks, extent blocks, attributes. How much each layer
 * has of it is known before anything has its place (docs/format/disk-image.md, "Metadata").
 */
import { LambdaImgError, definite } from "../base/error.ts";
import { asByteString, compareByteStrings, showByteString, type ByteString } from "../base/bytes.ts";
import { LINK_COUNT_MAX } from "../base/limit.ts";
import { alignUp, divCeil } from "../base/units.ts";
import { coarse } from "../tree/slots.ts";
import type { Inode, Tree } from "../tree/tree.ts";
import { BLOCK_BYTES, EXTENT_BLOCKS_MAX, FAST_SYMLINK_BYTES } from "./constants.ts";
import { directoryBlockCount, layNames } from "./directory.ts";
import { extentBlockCount } from "./extent.ts";
import type { NameIndex } from "./htree.ts";
import { clampTime } from "./inode.ts";
import type { Numbering } from "./numbering.ts";
import { CHUNK_BLOCKS } from "./profile.ts";
import { XATTR_REFERENCES_MAX, placeXattrs, xattrsKey, type DiskXattr } from "./xattr.ts";

/** A layer with so many slots for directories has their blocks in chunks of their own, behind its segment. */
export const MANY_DIRECTORIES: number = CHUNK_BLOCKS;
/** Room for the directories of another layer, and for a layer's metadata beside the superblock, is a multiple of this many blocks. */
export const METADATA_UNIT = 8;

/** The metadata blocks of one inode; all zero where the inode needs none. */
export interface InodePlace {
  /** Blocks of a directory or a long symlink. */
  readonly dataBlock: number;
  readonly dataBlockCount: number;
  /** Of a directory of more than one block. */
  readonly nameIndex: NameIndex | undefined;
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
  readonly referenceCount: number;
}

/** A value that is the content of an inode of its own. */
export interface ValueInode {
  readonly inodeNumber: number;
  readonly value: Uint8Array;
  readonly dataBlock: number;
  readonly referenceCount: number;
}

/** All metadata in its place. */
export interface PlacedMetadata {
  /** By inode number, only for inodes that need blocks of metadata. */
  readonly places: ReadonlyMap<number, InodePlace>;
  readonly xattrBlocks: readonly XattrBlock[];
  /** By `valueKey`, in order of inode number. */
  readonly valueInodes: ReadonlyMap<string, ValueInode>;
}

/** Where metadata is to lie, in blocks from the start of the disk. */
export interface MetadataRoom {
  /** By layer index: the first block of the directories of a layer that has many. */
  readonly directories: readonly (number | undefined)[];
  /** What is free beside the superblock, in a chunk that is new in every image as it is. */
  readonly beside: { readonly start: number; readonly end: number };
  /** Where what does not lie there begins: behind the segments. */
  readonly behind: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What a tree needs, and then, once it is known where, the places of it. */
export class MetadataNeeds {
  /** The first inode number that nothing has. */
  endNumber: number;
  /** How many inodes have an mtime that ext4 cannot hold. */
  clampedTimeCount = 0;
  /** Blocks by unit: of the root directory, and of each layer, base first. */
  readonly #unitBlocks: number[] = [0];
  readonly #tree: Tree;
  readonly #numbering: Numbering;
  readonly #places = new Map<number, Mutable<InodePlace>>();
  readonly #xattrBlocks: Mutable<XattrBlock>[] = [];
  /** By attributes: the last block that has them. */
  readonly #sharedBlocks = new Map<string, Mutable<XattrBlock>>();
  /** By inode number. */
  readonly #xattrBlockOf = new Map<number, Mutable<XattrBlock>>();
  readonly #valueInodes = new Map<string, Mutable<ValueInode>>();

  /** @throws LINKS_TOO_MANY, XATTR_TOO_LARGE, XATTR_INVALID, XATTR_UNSUPPORTED, TREE_TOO_LARGE */
  constructor(tree: Tree, numbering: Numbering) {
    this.#tree = tree;
    this.#numbering = numbering;
    this.endNumber = numbering.endNumber;
    for (const { directories } of tree.slots) this.#unitBlocks.push(fewDirectoriesRoom(directories));
    for (const inode of numbering.inodes) if (inode !== undefined) this.#measure(inode);
    // Values have no place among the layers' inodes; their numbers come last.
    for (const value of this.#valueInodes.values()) value.inodeNumber = this.endNumber++;
  }

  /** Blocks of all units. */
  get blockCount(): number {
    return this.#unitBlocks.reduce((sum, count) => sum + count, 0);
  }

  /** Where all metadata ends, a chunk's edge, if what is no value ends at the given block. */
  endWithValues(end: number): number {
    let valuesEnd = alignUp(end, CHUNK_BLOCKS);
    for (const { value } of this.#valueInodes.values()) valuesEnd += divCeil(value.length, BLOCK_BYTES);
    return alignUp(valuesEnd, CHUNK_BLOCKS);
  }

  /** Gives everything its place. Call it once. */
  place(room: MetadataRoom): PlacedMetadata & { metadataEnd: number } {
    const units = layUnits(this.#unitBlocks, room);
    const slotStarts = units.map((unit, i) => unit.take(this.#fewDirectories(i)));
    for (const [inodeNumber, place] of this.#places) {
      const inode = definite(this.#numbering.inodes[inodeNumber], "what needs blocks is an inode");
      const unit = definite(units[unitOf(inode)], "every layer has its metadata");
      const slotStart = room.directories[inode.layerIndex] ?? slotStarts[unitOf(inode)] ?? 0;
      const isInSlot = hasSlotBlock(inode, place.dataBlockCount);
      place.dataBlock = isInSlot ? slotStart + inode.slot : unit.take(place.dataBlockCount);
      place.extentBlock = unit.take(place.extentBlockCount);
      const xattrBlock = this.#xattrBlockOf.get(inodeNumber);
      if (xattrBlock === undefined) continue;
      // The first of those that share a block has it among its own.
      if (xattrBlock.blockNumber === 0) xattrBlock.blockNumber = unit.take(1);
      place.xattrBlock = xattrBlock.blockNumber;
    }
    // What lies beside the superblock ends below any segment.
    const metadataEnd = units.reduce((end, unit) => Math.max(end, unit.end), room.behind);
    let valueBlock = alignUp(metadataEnd, CHUNK_BLOCKS);
    for (const planned of this.#valueInodes.values()) {
      planned.dataBlock = valueBlock;
      valueBlock += divCeil(planned.value.length, BLOCK_BYTES);
    }
    return {
      places: this.#places,
      xattrBlocks: this.#xattrBlocks,
      valueInodes: this.#valueInodes,
      metadataEnd,
    };
  }

  #measure(inode: Inode): void {
    const path = (): string => pathOf(this.#tree, inode);
    if (inode.nameCount > LINK_COUNT_MAX) throw tooManyLinks(path(), inode.nameCount);
    if (clampTime(inode.mtime).isClamped) this.clampedTimeCount++;
    const nameIndex = inode.type === "dir" ? layNames(sortedNames(inode), path) : undefined;
    const dataBlockCount = metadataBlockCount(inode, nameIndex);
    const extents =
      inode.type === "file" ? fileExtentCount(inode) : divCeil(dataBlockCount, EXTENT_BLOCKS_MAX);
    const treeBlocks = extentBlockCount(extents);
    const hasXattrs = inode.xattrs !== undefined && inode.xattrs.size > 0;
    if (dataBlockCount + treeBlocks === 0 && !hasXattrs) return;
    this.#need(inode, hasSlotBlock(inode, dataBlockCount) ? 0 : dataBlockCount);
    this.#need(inode, treeBlocks);
    this.#places.set(this.#numbering.numberOf(inode), {
      dataBlock: 0,
      dataBlockCount,
      nameIndex,
      extentBlock: 0,
      extentBlockCount: treeBlocks,
      xattrBlock: 0,
      xattrValueBlockCount: hasXattrs ? this.#shareXattrs(inode, path) : 0,
    });
  }

  /** Finds or makes the block for an inode's attributes; returns how many blocks their large values have. */
  #shareXattrs(inode: Inode, path: () => string): number {
    const { inBlock } = placeXattrs(inode, path);
    if (inBlock.length === 0) return 0;
    const key = xattrsKey(inBlock);
    let block = this.#sharedBlocks.get(key);
    if (block === undefined || block.referenceCount >= XATTR_REFERENCES_MAX) {
      block = { blockNumber: 0, xattrs: inBlock, referenceCount: 0 };
      this.#need(inode, 1);
      this.#sharedBlocks.set(key, block);
      this.#xattrBlocks.push(block);
      // A block counts as one reference to each of its values, however many inodes share it.
      for (const { value, isInInode } of inBlock) if (isInInode) this.#addValue(value);
    }
    block.referenceCount++;
    this.#xattrBlockOf.set(this.#numbering.numberOf(inode), block);
    const large = inBlock.filter(({ isInInode }) => isInInode);
    return large.reduce((sum, { value }) => sum + divCeil(value.length, BLOCK_BYTES), 0);
  }

  #addValue(value: Uint8Array): void {
    const key = valueKey(value);
    const planned = this.#valueInodes.get(key) ?? { inodeNumber: 0, value, dataBlock: 0, referenceCount: 0 };
    planned.referenceCount++;
    this.#valueInodes.set(key, planned);
  }

  #need(inode: Inode, blockCount: number): void {
    const unit = unitOf(inode);
    this.#unitBlocks[unit] = (this.#unitBlocks[unit] ?? 0) + blockCount;
  }

  /** Blocks at the start of a unit that the slots of its layer's directories have. */
  #fewDirectories(unit: number): number {
    return fewDirectoriesRoom(this.#tree.slots[unit - 1]?.directories ?? 0);
  }
}

function fewDirectoriesRoom(directories: number): number {
  return directories >= MANY_DIRECTORIES ? 0 : coarse(directories, METADATA_UNIT);
}

/** The root directory, which is of no layer, comes before the base. */
function unitOf(inode: Inode): number {
  return inode.slot < 0 ? 0 : inode.layerIndex + 1;
}

/** A directory of one block has the block of its slot, whatever the others need. */
function hasSlotBlock(inode: Inode, dataBlockCount: number): boolean {
  return inode.type === "dir" && dataBlockCount === 1 && inode.slot >= 0;
}

/** Hands out the blocks of a unit: beside the superblock as far as they go, and from the first that does not fit on behind the segments. */
class UnitBlocks {
  #next: number;
  #end: number;
  readonly #behind: number;

  constructor({ start, end }: { start: number; end: number }, behind: number) {
    this.#next = start;
    this.#end = end;
    this.#behind = behind;
  }

  /** The first of so many blocks that lie one after another. */
  take(count: number): number {
    if (this.#next + count > this.#end) {
      this.#next = this.#behind;
      this.#end = Infinity;
    }
    const first = this.#next;
    this.#next += count;
    return first;
  }

  /** Where the last of them ends. */
  get end(): number {
    return this.#next;
  }
}

/**
 * Lays out units from the last one down beside the superblock, until one does not fit there as a whole: what upper layers have
 * changes more often. The others lie behind the segments, base first, the last of them as far as it does not fit.
 */
function layUnits(blockCounts: readonly number[], { beside, behind }: MetadataRoom): UnitBlocks[] {
  const units: UnitBlocks[] = [];
  let left = blockCounts.length;
  let end = beside.end;
  for (; left > 0; left--) {
    const start = end - coarse(blockCounts[left - 1] ?? 0, METADATA_UNIT);
    if (start < beside.start) break;
    units[left - 1] = new UnitBlocks({ start, end }, behind);
    end = start;
  }
  let next = behind;
  for (const [i, count] of blockCounts.slice(0, left).entries()) {
    const room = i === left - 1 ? { start: beside.start, end } : { start: next, end: next };
    units[i] = new UnitBlocks(room, next);
    next += count;
  }
  return units;
}

/** The directory's names in byte order. */
export function sortedNames(directory: Inode): ByteString[] {
  return [...(directory.children?.keys() ?? [])].sort(compareByteStrings);
}

/** A key that is equal for equal values. */
export function valueKey(value: Uint8Array): string {
  return xattrsKey([{ nameIndex: 0, name: asByteString(""), value, isInInode: true }]);
}

function metadataBlockCount(inode: Inode, nameIndex: NameIndex | undefined): number {
  if (inode.type === "dir") return directoryBlockCount(nameIndex);
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
