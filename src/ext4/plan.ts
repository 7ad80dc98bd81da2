/**
 * The plan of a disk image: where every byte that is not file content goes. Pure: it reads the tree and the sizes of
 * the segments, and decides (docs/format/disk-image.md, "Order").
 */
import { assert } from "../base/error.ts";
import { alignUp, divCeil } from "../base/units.ts";
import { coarse } from "../tree/slots.ts";
import type { Inode, Tree } from "../tree/tree.ts";
import { addExtents, type Extent } from "./extent.ts";
import { planGeometry, withMetadataEnd, type Geometry, type SizeRequest } from "./geometry.ts";
import { MANY_DIRECTORIES, METADATA_UNIT, MetadataNeeds, type PlacedMetadata } from "./metadata-needs.ts";
import { numberInodes, type Numbering } from "./numbering.ts";
import { CHUNK_BLOCKS } from "./profile.ts";

/** What there is to be laid out. */
export interface PlanInput {
  readonly tree: Tree;
  /** Chunks of each layer's segment, by layer index. */
  readonly segmentChunkCounts: readonly number[];
  readonly sizeRequest: SizeRequest;
}

/** Everything that the disk writer needs. */
export interface DiskPlan extends PlacedMetadata {
  readonly geometry: Geometry;
  readonly numbering: Numbering;
  /** First block of each layer's segment, by layer index. */
  readonly segmentStarts: readonly number[];
  /** How many inodes have an mtime that ext4 cannot hold. */
  readonly clampedTimeCount: number;
}

/**
 * Lays out the disk.
 * @throws LINKS_TOO_MANY, XATTR_TOO_LARGE, XATTR_INVALID, XATTR_UNSUPPORTED, TREE_TOO_LARGE, DISK_TOO_SMALL, DISK_TOO_LARGE
 */
export function planDisk({ tree, segmentChunkCounts, sizeRequest }: PlanInput): DiskPlan {
  const numbering = numberInodes(tree);
  const layers = layLayers(segmentChunkCounts, tree);
  const needs = new MetadataNeeds(tree, numbering);
  const { endNumber } = needs;
  // How much lies beside the superblock is known when the disk's groups are, and these when it is known how much there is.
  const endAtMost = layers.end + needs.blockCount;
  const roomy = planGeometry({ metadataEnd: needs.endWithValues(endAtMost), endNumber }, sizeRequest);
  const { metadataEnd, ...placed } = needs.place({
    directories: layers.directoryStarts,
    beside: { start: alignUp(roomy.firstFreeBlock, METADATA_UNIT), end: CHUNK_BLOCKS },
    behind: layers.end,
  });
  return {
    ...placed,
    geometry: withMetadataEnd(roomy, needs.endWithValues(metadataEnd)),
    numbering,
    segmentStarts: layers.segmentStarts,
    clampedTimeCount: needs.clampedTimeCount,
  };
}

/** First blocks, by layer index. */
interface LayerLayout {
  readonly segmentStarts: readonly number[];
  /** Where the blocks of the layer's directories are, one for each slot, where it has many of them. */
  readonly directoryStarts: readonly (number | undefined)[];
  readonly end: number;
}

/**
 * Segments, base first, each followed by the blocks of its layer's directories: so where a layer lies depends on
 * those below it alone. The directories of layers with few of them are metadata like other.
 */
function layLayers(segmentChunkCounts: readonly number[], tree: Tree): LayerLayout {
  const directoryStarts: (number | undefined)[] = [];
  const segmentStarts: number[] = [];
  // Chunk 0 has the superblock, and what lies beside it.
  let chunk = 1;
  for (const [layerIndex, chunkCount] of segmentChunkCounts.entries()) {
    segmentStarts.push(chunk * CHUNK_BLOCKS);
    chunk += coarse(chunkCount, 1);
    const directories = tree.slots[layerIndex]?.directories ?? 0;
    const isMany = directories >= MANY_DIRECTORIES;
    directoryStarts.push(isMany ? chunk * CHUNK_BLOCKS : undefined);
    if (isMany) chunk += coarse(divCeil(directories, CHUNK_BLOCKS), 1);
  }
  return { segmentStarts, directoryStarts, end: chunk * CHUNK_BLOCKS };
}

/** The extents of a file on the disk, each no longer than ext4 allows. */
export function fileExtents(inode: Inode, segmentStarts: readonly number[]): Extent[] {
  const extents: Extent[] = [];
  const start = segmentStart(inode, segmentStarts);
  for (const { fileBlock, segmentBlock, blockCount } of inode.body?.runs ?? [])
    addExtents(extents, { fileBlock, diskBlock: start + segmentBlock, blockCount });
  return extents;
}

/** The first block of the segment that a file lies in. */
export function segmentStart(file: Inode, segmentStarts: readonly number[]): number {
  const start = segmentStarts[file.layerIndex];
  assert(start !== undefined, "every file lies in a segment");
  return start;
}

/** The extents of metadata that lies in consecutive blocks. */
export function consecutiveExtents(diskBlock: number, blockCount: number): Extent[] {
  const extents: Extent[] = [];
  addExtents(extents, { fileBlock: 0, diskBlock, blockCount });
  return extents;
}
