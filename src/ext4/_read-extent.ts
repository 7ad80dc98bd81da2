/** Reads extent trees and the bytes they map (Documentation/filesystems/ext4 "Extent Tree"). */
import { viewOf } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { KIB } from "../base/units.ts";
import type { DiskImage } from "./_read-disk-image.ts";
import { invalidImage, requireChecksum, showBits, unsupportedImage } from "./_read-error.ts";
import { type Ext4FileType, type Ext4Inode, I_BLOCK_OFFSET } from "./_read-inode.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";

/** A run of a file's blocks that lie one after another on the disk. */
export interface Ext4Extent {
  readonly fileBlock: number;
  readonly diskBlock: number;
  readonly blockCount: number;
  /** True for room that was reserved but never written (fallocate): it reads as zeros. */
  readonly isUnwritten: boolean;
}

/** A part of a file; without `sizeBytes` up to its end. */
export interface ReadFileOptions {
  readonly offsetBytes?: number | undefined;
  readonly sizeBytes?: number | undefined;
}

/** The largest piece that reading yields. */
const PIECE_BYTES: number = 512 * KIB;
const PIECE_BLOCKS: number = PIECE_BYTES / ext4.BLOCK_BYTES;
const ZERO_PIECE = new Uint8Array(PIECE_BYTES);

const EXTENT_BYTES = 12;
/** EXT4_MAX_EXTENT_DEPTH: five levels of 340 cover all 2^32 blocks. */
const DEPTH_MAX = 5;
const ROOT_ENTRY_COUNT_MAX = 4;
/** 340 = (4096 - 12 header - 4 checksum) / 12. */
const NODE_ENTRY_COUNT_MAX: number = Math.floor((ext4.BLOCK_BYTES - 16) / EXTENT_BYTES);
const FILE_BLOCK_END: number = 2 ** 32;

/** A node of the tree that is still to be read. */
interface PendingNode {
  readonly diskBlock: number;
  readonly depth: number;
  readonly fromFileBlock: number;
  readonly toFileBlock: number;
}

/** A node whose header has been checked. */
interface ExtentNode {
  readonly where: string;
  readonly view: DataView;
  readonly entryCount: number;
  readonly depth: number;
  readonly fromFileBlock: number;
  readonly toFileBlock: number;
}

/** All extents in order of the file's blocks. */
export async function readExtents(image: DiskImage, inode: Ext4Inode): Promise<readonly Ext4Extent[]> {
  const where = `inode ${inode.inodeNumber} extent tree`;
  if ((inode.flags & ext4.EXT4_EXTENTS_FL) === 0) {
    throw unsupportedImage(where, "extents", `inode flags ${showBits(inode.flags)}`);
  }
  const extents: Ext4Extent[] = [];
  const budget = { blockCount: 0 };
  const pending: PendingNode[] = [];
  const visit = (node: ExtentNode): void => {
    if (node.depth === 0) {
      for (const extent of leafExtents(image, node)) {
        budget.blockCount += extent.blockCount;
        extents.push(extent);
      }
      // No block belongs to a file twice. This bounds the memory that a hostile tree can ask for.
      if (budget.blockCount > image.superblock.blockCount) {
        throw invalidImage(where, `at most ${image.superblock.blockCount} blocks`, budget.blockCount);
      }
    } else pending.push(...childNodes(image, node).reverse());
  };
  const root = viewOf(inode.raw.subarray(I_BLOCK_OFFSET, I_BLOCK_OFFSET + 60));
  visit(checkRoot(where, root));
  // Depths only fall and file blocks only rise, so that no node can come up twice: there are no cycles.
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    visit(await readNode(image, inode, next));
  }
  return extents;
}

function checkRoot(where: string, view: DataView): ExtentNode {
  const depth = view.getUint16(6, true);
  if (depth > DEPTH_MAX) throw invalidImage(`${where} eh_depth`, `0 to ${DEPTH_MAX}`, depth);
  const entryCount = checkHeader(where, view, { entryCountMax: ROOT_ENTRY_COUNT_MAX, depth });
  if (entryCount === 0 && depth > 0) throw invalidImage(`${where} eh_entries`, "some below the root", 0);
  return { where, view, entryCount, depth, fromFileBlock: 0, toFileBlock: FILE_BLOCK_END };
}

async function readNode(image: DiskImage, inode: Ext4Inode, pending: PendingNode): Promise<ExtentNode> {
  const where = `inode ${inode.inodeNumber} extent block ${pending.diskBlock}`;
  const bytes = await image.readBlock(pending.diskBlock, where);
  const view = viewOf(bytes);
  const { depth, fromFileBlock, toFileBlock } = pending;
  const entryCount = checkHeader(where, view, { entryCountMax: NODE_ENTRY_COUNT_MAX, depth });
  if (image.superblock.hasMetadataChecksums) {
    // "Extent Tree", ext4_extent_tail: behind the last entry that there is room for.
    const tail = EXTENT_BYTES * (1 + view.getUint16(4, true));
    requireChecksum(where, crc32c(inode.checksumSeed, bytes.subarray(0, tail)), view.getUint32(tail, true));
  }
  if (entryCount === 0) throw invalidImage(`${where} eh_entries`, "some below the root", 0);
  // The kernel too wants a node to start where its index entry says (ext4_valid_extent_entries).
  const first = view.getUint32(EXTENT_BYTES, true);
  if (first !== fromFileBlock) throw invalidImage(`${where} first file block`, fromFileBlock, first);
  return { where, view, entryCount, depth, fromFileBlock, toFileBlock };
}

/** Returns the number of entries. */
function checkHeader(
  where: string,
  view: DataView,
  expected: { entryCountMax: number; depth: number },
): number {
  const magic = view.getUint16(0, true);
  if (magic !== ext4.EXTENT_MAGIC) {
    throw invalidImage(`${where} eh_magic`, showBits(ext4.EXTENT_MAGIC), showBits(magic));
  }
  const entryCount = view.getUint16(2, true);
  const roomCount = view.getUint16(4, true);
  if (roomCount < 1 || roomCount > expected.entryCountMax) {
    throw invalidImage(`${where} eh_max`, `1 to ${expected.entryCountMax}`, roomCount);
  }
  if (entryCount > roomCount) throw invalidImage(`${where} eh_entries`, `at most ${roomCount}`, entryCount);
  const depth = view.getUint16(6, true);
  if (depth !== expected.depth) throw invalidImage(`${where} eh_depth`, expected.depth, depth);
  return entryCount;
}

function leafExtents(image: DiskImage, node: ExtentNode): Ext4Extent[] {
  const extents: Ext4Extent[] = [];
  let nextFileBlock = node.fromFileBlock;
  for (let i = 0; i < node.entryCount; i++) {
    const at = EXTENT_BYTES * (1 + i);
    const fileBlock = node.view.getUint32(at, true);
    // "ee_len": above 32768 the extent is not initialised and 32768 too long.
    const length = node.view.getUint16(at + 4, true);
    const isUnwritten = length > ext4.EXTENT_BLOCKS_MAX;
    const blockCount = isUnwritten ? length - ext4.EXTENT_BLOCKS_MAX : length;
    const diskBlock = node.view.getUint32(at + 8, true) + node.view.getUint16(at + 6, true) * 2 ** 32;
    const where = `${node.where} extent ${i}`;
    if (blockCount === 0) throw invalidImage(`${where} ee_len`, "not 0", 0);
    const toFileBlock = fileBlock + blockCount;
    if (fileBlock < nextFileBlock || toFileBlock > node.toFileBlock) {
      const expected = `blocks in ${nextFileBlock} to ${node.toFileBlock - 1}`;
      throw invalidImage(`${where} file blocks`, expected, `${fileBlock} to ${toFileBlock - 1}`);
    }
    image.requireRun(diskBlock, blockCount, where);
    extents.push({ fileBlock, diskBlock, blockCount, isUnwritten });
    nextFileBlock = toFileBlock;
  }
  return extents;
}

function childNodes(image: DiskImage, node: ExtentNode): PendingNode[] {
  const children: PendingNode[] = [];
  let toFileBlock = node.toFileBlock;
  for (let i = node.entryCount - 1; i >= 0; i--) {
    const at = EXTENT_BYTES * (1 + i);
    const fromFileBlock = node.view.getUint32(at, true);
    const diskBlock = node.view.getUint32(at + 4, true) + node.view.getUint16(at + 8, true) * 2 ** 32;
    const where = `${node.where} index ${i}`;
    if (fromFileBlock < node.fromFileBlock || fromFileBlock >= toFileBlock) {
      throw invalidImage(`${where} ei_block`, `${node.fromFileBlock} to ${toFileBlock - 1}`, fromFileBlock);
    }
    image.requireRun(diskBlock, 1, where);
    children.push({ diskBlock, depth: node.depth - 1, fromFileBlock, toFileBlock });
    toFileBlock = fromFileBlock;
  }
  return children.reverse();
}

/** Throws unless the inode is of this type. */
export function requireType(inode: Ext4Inode, type: Ext4FileType): void {
  if (inode.type === type) return;
  const details = { inode: inode.inodeNumber, expected: type, found: inode.type };
  const message = `inode ${inode.inodeNumber}: expected type ${type}, found ${inode.type}`;
  throw new LambdaImgError("FILE_TYPE_UNSUPPORTED", message, { details });
}

/** The bytes of what the inode's extents map, holes as views of a shared page of zeros. */
export async function* readContent(
  image: DiskImage,
  inode: Ext4Inode,
  options: ReadFileOptions,
): AsyncGenerator<Uint8Array> {
  let at = Math.min(Math.max(options.offsetBytes ?? 0, 0), inode.sizeBytes);
  const end = Math.min(at + Math.max(options.sizeBytes ?? inode.sizeBytes, 0), inode.sizeBytes);
  if (at >= end) return;
  const where = `inode ${inode.inodeNumber}`;
  for (const extent of await readExtents(image, inode)) {
    const fromBytes = extent.fileBlock * ext4.BLOCK_BYTES;
    const toBytes = Math.min(fromBytes + extent.blockCount * ext4.BLOCK_BYTES, end);
    if (fromBytes >= end) break;
    if (toBytes <= at) continue;
    yield* zeros(Math.max(fromBytes - at, 0));
    at = Math.max(at, fromBytes);
    if (extent.isUnwritten) {
      yield* zeros(toBytes - at);
      at = toBytes;
    }
    while (at < toBytes) {
      const blockInExtent = Math.floor(at / ext4.BLOCK_BYTES) - extent.fileBlock;
      const blockCount = Math.min(extent.blockCount - blockInExtent, PIECE_BLOCKS);
      const from = at - (extent.fileBlock + blockInExtent) * ext4.BLOCK_BYTES;
      const to = Math.min(blockCount * ext4.BLOCK_BYTES, from + toBytes - at);
      const usedCount = Math.ceil(to / ext4.BLOCK_BYTES);
      const bytes = await image.readBlocks(extent.diskBlock + blockInExtent, usedCount, where);
      yield bytes.subarray(from, to);
      at += to - from;
    }
  }
  yield* zeros(end - at);
}

function* zeros(sizeBytes: number): Generator<Uint8Array> {
  for (let left = sizeBytes; left > 0; left -= PIECE_BYTES) {
    yield ZERO_PIECE.subarray(0, Math.min(left, PIECE_BYTES));
  }
}
