/** How many groups and inodes a disk image has, and where its inode tables and bitmaps lie. */
import { definite, LambdaImgError } from "../base/error.ts";
import { DISK_BYTES_MAX } from "../base/limit.ts";
import { alignUp, divCeil, MIB, showBytes } from "../base/units.ts";
import { BLOCK_BYTES, BLOCKS_PER_GROUP, GROUP_DESCRIPTOR_BYTES, INODES_PER_BLOCK } from "./constants.ts";
import { CHUNK_BLOCKS } from "./profile.ts";

/** What the user asks for: `auto` leaves room to write; `total` is the whole disk; `free` is room besides the content. */
export type SizeRequest =
  | { readonly kind: "auto" }
  | { readonly kind: "total"; readonly sizeBytes: number }
  | { readonly kind: "free"; readonly sizeBytes: number };

/** All in blocks, from the start of the disk. */
export interface Geometry {
  readonly blockCount: number;
  readonly groupCount: number;
  readonly inodesPerGroup: number;
  readonly descriptorBlocks: number;
  /** The inode tables of all groups, one after another. */
  readonly inodeTableStart: number;
  readonly inodeTableBlocksPerGroup: number;
  /** One block a group. */
  readonly blockBitmapStart: number;
  readonly inodeBitmapStart: number;
  /** The first block behind the superblock, the descriptors, and the bitmaps where they fit chunk 0. */
  readonly firstFreeBlock: number;
  /** The first block that nothing of the writer's occupies. */
  readonly contentEnd: number;
}

/** The largest number of inodes whose bitmap is one block. */
const INODES_PER_GROUP_MAX = 8 * BLOCK_BYTES;
/** With `auto`, a quarter of the content and this much are free: enough to start programs that write a little. */
const AUTO_FREE_BLOCKS = (64 * MIB) / BLOCK_BYTES;
/** One inode for every 16 KiB of disk, as mke2fs has it. */
const BLOCKS_PER_INODE = 4;

/**
 * Lays out the disk after `metadataEnd` blocks of content that needs the inode numbers below `endNumber`.
 * @throws DISK_TOO_SMALL with the size that would do; DISK_TOO_LARGE
 */
export function planGeometry(
  content: { readonly metadataEnd: number; readonly endNumber: number },
  request: SizeRequest,
): Geometry {
  if (request.kind === "total") return geometryOfSize(content, request.sizeBytes);
  const free =
    request.kind === "free"
      ? divCeil(request.sizeBytes, BLOCK_BYTES)
      : AUTO_FREE_BLOCKS + Math.floor(content.metadataEnd / 4);
  for (let groups = divCeil(content.metadataEnd + free, BLOCKS_PER_GROUP); ; groups++) {
    const blockCount = groups * BLOCKS_PER_GROUP;
    checkSize(blockCount * BLOCK_BYTES);
    const geometry = lay(content, blockCount, wantedInodes(content.endNumber, blockCount));
    if (geometry !== undefined && geometry.contentEnd + free <= blockCount) return geometry;
  }
}

/** The same disk with less metadata before its inode tables: `metadataEnd` is at most what it was planned for. */
export function withMetadataEnd(geometry: Geometry, metadataEnd: number): Geometry {
  const { blockCount, groupCount, inodesPerGroup } = geometry;
  return definite(lay({ metadataEnd }, blockCount, groupCount * inodesPerGroup), "it was laid out with more");
}

function geometryOfSize(
  content: { readonly metadataEnd: number; readonly endNumber: number },
  sizeBytes: number,
): Geometry {
  checkSize(sizeBytes);
  const blockCount = alignUp(divCeil(sizeBytes, BLOCK_BYTES), CHUNK_BLOCKS);
  const roomy = lay(content, blockCount, wantedInodes(content.endNumber, blockCount));
  const geometry = fits(roomy) ? roomy : lay(content, blockCount, content.endNumber - 1);
  if (fits(geometry)) return geometry;
  const needed = planGeometry(content, { kind: "free", sizeBytes: 0 }).blockCount * BLOCK_BYTES;
  throw new LambdaImgError(
    "DISK_TOO_SMALL",
    `disk image: size too small: expected about ${needed} bytes (${showBytes(needed)}) for this image, found ${sizeBytes}`,
    { details: { neededBytes: needed, foundBytes: sizeBytes } },
  );
}

function fits(geometry: Geometry | undefined): geometry is Geometry {
  return geometry !== undefined && geometry.contentEnd <= geometry.blockCount;
}

function wantedInodes(endNumber: number, blockCount: number): number {
  // An eighth more than the image has, so that one of many small files can take more of them.
  return Math.max(endNumber + Math.floor(endNumber / 8), Math.floor(blockCount / BLOCKS_PER_INODE));
}

function lay(
  content: { readonly metadataEnd: number },
  blockCount: number,
  inodeCount: number,
): Geometry | undefined {
  const groupCount = divCeil(blockCount, BLOCKS_PER_GROUP);
  const inodesPerGroup = alignUp(divCeil(inodeCount, groupCount), INODES_PER_BLOCK);
  if (inodesPerGroup > INODES_PER_GROUP_MAX) return undefined;
  const inodeTableBlocksPerGroup = inodesPerGroup / INODES_PER_BLOCK;
  const inodeTableStart = alignUp(content.metadataEnd, CHUNK_BLOCKS);
  const descriptorBlocks = divCeil(groupCount * GROUP_DESCRIPTOR_BYTES, BLOCK_BYTES);
  const tableEnd = alignUp(inodeTableStart + groupCount * inodeTableBlocksPerGroup, CHUNK_BLOCKS);
  // Bitmaps change whenever the superblock's counts do: where they fit beside it, they cost no chunk of their own.
  const isBesideSuperblock = 1 + descriptorBlocks + 2 * groupCount <= CHUNK_BLOCKS;
  const blockBitmapStart = isBesideSuperblock ? 1 + descriptorBlocks : tableEnd;
  return {
    blockCount,
    groupCount,
    inodesPerGroup,
    descriptorBlocks,
    inodeTableStart,
    inodeTableBlocksPerGroup,
    blockBitmapStart,
    inodeBitmapStart: blockBitmapStart + groupCount,
    firstFreeBlock: 1 + descriptorBlocks + (isBesideSuperblock ? 2 * groupCount : 0),
    contentEnd: isBesideSuperblock ? tableEnd : alignUp(tableEnd + 2 * groupCount, CHUNK_BLOCKS),
  };
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes <= DISK_BYTES_MAX) return;
  throw new LambdaImgError(
    "DISK_TOO_LARGE",
    `disk image: too large: expected at most ${DISK_BYTES_MAX} bytes (${showBytes(DISK_BYTES_MAX)}), found ${sizeBytes}`,
    { details: { limitBytes: DISK_BYTES_MAX, foundBytes: sizeBytes } },
  );
}
