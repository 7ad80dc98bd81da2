/** What each chunk of a disk image is for: a layer's segment, or a kind of metadata (docs/format/disk-image.md, "Order"). */
import type { BlockSource } from "../base/block-source.ts";
import { viewOf } from "../base/bytes.ts";
import { divCeil } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import type { Ext4Superblock } from "../ext4/reader.ts";
import type { SegmentRecord } from "../manifest/image-record.ts";
import type { ChunkTable } from "../manifest/manifest.ts";

/**
 * `superblock`: chunk 0, with metadata of the uppermost layers. `metadata`: other directories, long symlinks, extent blocks, attributes.
 * `free`: what nothing is laid out in.
 */
export type RegionKind = "superblock" | "segment" | "metadata" | "inodes" | "bitmaps" | "free";

/** Consecutive chunks of one purpose. */
export interface Region {
  readonly kind: RegionKind;
  /** Of a segment: whose it is, 0 for the base. */
  readonly layerIndex: number | undefined;
  readonly firstChunk: number;
  /** At least 1. */
  readonly chunkCount: number;
}

/** Blocks of 4096 bytes, of which a chunk has 128. */
export const BLOCK_BYTES = 4096;
export const CHUNK_BLOCKS: number = CHUNK_BYTES / BLOCK_BYTES;

/** The regions of one disk image. */
export class DiskRegions {
  /** Ascending, without gaps, from chunk 0 to the last one. */
  readonly all: readonly Region[];
  readonly #inodeTableBlock: number;
  readonly #inodeBytes: number;

  constructor(
    all: readonly Region[],
    table: { readonly inodeTableBlock: number; readonly inodeBytes: number },
  ) {
    this.all = all;
    this.#inodeTableBlock = table.inodeTableBlock;
    this.#inodeBytes = table.inodeBytes;
  }

  /** The region that a chunk of the disk image lies in. */
  at(chunkIndex: number): Region | undefined {
    let low = 0;
    let high = this.all.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.all[middle]?.firstChunk ?? 0) <= chunkIndex) low = middle;
      else high = middle - 1;
    }
    return this.all[low];
  }

  /** The chunk that has an inode. */
  inodeChunk(inodeNumber: number): number {
    // The tables of all groups are one run, so that a group's size plays no part.
    const offsetBytes = this.#inodeTableBlock * BLOCK_BYTES + (inodeNumber - 1) * this.#inodeBytes;
    return Math.floor(offsetBytes / CHUNK_BYTES);
  }
}

/**
 * Finds the regions: segments are in the manifest, inode tables and bitmaps in the first group's descriptor, and
 * what lies between is metadata.
 * @throws what the source throws
 */
export async function readRegions(
  source: BlockSource,
  superblock: Ext4Superblock,
  segments: readonly SegmentRecord[],
): Promise<DiskRegions> {
  const descriptor = viewOf(await source.read(BLOCK_BYTES, superblock.groupDescriptorBytes));
  // "Block Group Descriptors": bg_block_bitmap_lo, bg_inode_table_lo; our disks have less than 2^32 blocks.
  const bitmapBlock = descriptor.getUint32(0x0, true);
  const inodeTableBlock = descriptor.getUint32(0x8, true);
  const { groupCount, inodesPerGroup, inodeBytes } = superblock;
  const tableBlocks = groupCount * divCeil(inodesPerGroup * inodeBytes, BLOCK_BYTES);
  const inodes = chunksOf("inodes", inodeTableBlock, tableBlocks);
  const bitmaps = chunksOf("bitmaps", bitmapBlock, 2 * groupCount);
  const known = [
    { kind: "superblock", layerIndex: undefined, firstChunk: 0, chunkCount: 1 } as const,
    ...segments.map((segment, layerIndex) => ({ kind: "segment", layerIndex, ...segment }) as const),
    inodes,
    // In chunk 0 they are the superblock's.
    ...(bitmaps.firstChunk > 0 ? [bitmaps] : []),
  ];
  const chunkCount = source.sizeBytes / CHUNK_BYTES;
  const metadataEnd = inodes.firstChunk;
  return new DiskRegions(fillGaps(known, { chunkCount, metadataEnd }), { inodeTableBlock, inodeBytes });
}

function chunksOf(kind: "inodes" | "bitmaps", block: number, blockCount: number): Region {
  const firstChunk = Math.floor(block / CHUNK_BLOCKS);
  return {
    kind,
    layerIndex: undefined,
    firstChunk,
    chunkCount: divCeil(block + blockCount, CHUNK_BLOCKS) - firstChunk,
  };
}

/** Sorts the regions; what is said twice or lies outside is left out, and what is not said lies between. */
function fillGaps(
  known: readonly Region[],
  disk: { readonly chunkCount: number; readonly metadataEnd: number },
): Region[] {
  const all: Region[] = [];
  let next = 0;
  const push = (region: Pick<Region, "kind" | "layerIndex">, end: number): void => {
    const to = Math.min(end, disk.chunkCount);
    if (to <= next) return;
    all.push({ kind: region.kind, layerIndex: region.layerIndex, firstChunk: next, chunkCount: to - next });
    next = to;
  };
  for (const region of known.toSorted((left, right) => left.firstChunk - right.firstChunk)) {
    if (region.chunkCount === 0) continue;
    const gap = next < disk.metadataEnd ? "metadata" : "free";
    push({ kind: gap, layerIndex: undefined }, region.firstChunk);
    push(region, region.firstChunk + region.chunkCount);
  }
  push({ kind: "free", layerIndex: undefined }, disk.chunkCount);
  return all;
}

/** A region's name for people. */
export function regionLabel(region: Pick<Region, "kind" | "layerIndex">): string {
  switch (region.kind) {
    case "superblock":
      return "superblock";
    case "segment":
      return `layer ${(region.layerIndex ?? 0) + 1} files`;
    case "metadata":
      return "directories";
    case "inodes":
      return "inode tables";
    case "bitmaps":
      return "bitmaps";
    case "free":
      return "free space";
  }
}

/** The places of a chunk table whose chunks lie in a region: `from` to before `to`. */
export function placesIn(table: ChunkTable, region: Region): { readonly from: number; readonly to: number } {
  return {
    from: placeFrom(table, region.firstChunk),
    to: placeFrom(table, region.firstChunk + region.chunkCount),
  };
}

/** The first place whose chunk index is not below `chunkIndex`. */
function placeFrom({ indexes }: ChunkTable, chunkIndex: number): number {
  let low = 0;
  let high = indexes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((indexes[middle] ?? 0) < chunkIndex) low = middle + 1;
    else high = middle;
  }
  return low;
}
