/** Whether two inodes have the same content, reading only the blocks whose chunks differ. */
import { equalBytes, isAllZero } from "../base/bytes.ts";
import type { ImageDevice } from "../device/image-device.ts";
import type { Ext4Extent } from "../ext4/reader.ts";
import { BLOCK_BYTES, CHUNK_BLOCKS } from "./disk-regions.ts";

/** A disk image whose chunks can be told apart by number. */
export interface NumberedDisk {
  readonly device: Pick<ImageDevice, "readChunk">;
  /** A number that chunks of equal bytes, and no others, have in common; -1 for a zero chunk. */
  chunkNumber(chunkIndex: number): number;
}

/** One inode's blocks on its disk. */
export interface PlacedContent {
  readonly disk: NumberedDisk;
  readonly extents: readonly Ext4Extent[];
}

/** `moved`: the same bytes, but not everywhere at the same place within a chunk. */
export type ContentVerdict = "same" | "moved" | "changed";

/**
 * Compares contents of one size. Blocks at the same place of equal chunks are equal unread.
 * @throws what the devices throw
 */
export async function compareContents(before: PlacedContent, after: PlacedContent): Promise<ContentVerdict> {
  let isMoved = false;
  for (const [old, young] of pairPieces(before.extents, after.extents)) {
    const isSamePlace =
      old.diskBlock !== undefined &&
      young.diskBlock !== undefined &&
      old.diskBlock % CHUNK_BLOCKS === young.diskBlock % CHUNK_BLOCKS;
    const isKnown =
      isSamePlace && numberOf(before.disk, old.diskBlock) === numberOf(after.disk, young.diskBlock);
    if (!isSamePlace) isMoved = true;
    if (isKnown) continue;
    if (!equalPieces(await readPiece(before.disk, old), await readPiece(after.disk, young))) return "changed";
  }
  return isMoved ? "moved" : "same";
}

/** Blocks of a file that lie one after another in one chunk; a hole has no place. */
interface Piece {
  readonly diskBlock: number | undefined;
  readonly blockCount: number;
}

/** Both contents cut where either begins or ends an extent or a chunk; what is a hole in both is left out. */
function* pairPieces(
  before: readonly Ext4Extent[],
  after: readonly Ext4Extent[],
): Generator<readonly [Piece, Piece]> {
  const old = new ExtentCursor(before);
  const young = new ExtentCursor(after);
  for (let at = Math.min(old.nextFrom(0), young.nextFrom(0)); at < Number.POSITIVE_INFINITY;) {
    const end = Math.min(old.runEnd(at), young.runEnd(at));
    const blockCount = end - at;
    yield [
      { diskBlock: old.diskBlock(at), blockCount },
      { diskBlock: young.diskBlock(at), blockCount },
    ];
    at = Math.min(old.nextFrom(end), young.nextFrom(end));
  }
}

/** Goes once through extents, asked with file blocks that never fall. */
class ExtentCursor {
  readonly #extents: readonly Ext4Extent[];
  #index = 0;

  constructor(extents: readonly Ext4Extent[]) {
    this.#extents = extents;
  }

  /** Where a file block is on the disk, unless it is a hole. */
  diskBlock(fileBlock: number): number | undefined {
    const extent = this.#at(fileBlock);
    if (extent === undefined || extent.fileBlock > fileBlock) return undefined;
    return extent.diskBlock + fileBlock - extent.fileBlock;
  }

  /** The first mapped file block from this one on. */
  nextFrom(fileBlock: number): number {
    const extent = this.#at(fileBlock);
    return extent === undefined ? Number.POSITIVE_INFINITY : Math.max(extent.fileBlock, fileBlock);
  }

  /** Up to where the file goes on as it does at this block: one extent in one chunk, or one hole. */
  runEnd(fileBlock: number): number {
    const extent = this.#at(fileBlock);
    if (extent === undefined) return Number.POSITIVE_INFINITY;
    if (extent.fileBlock > fileBlock) return extent.fileBlock;
    const diskBlock = extent.diskBlock + fileBlock - extent.fileBlock;
    const chunkEnd = fileBlock + CHUNK_BLOCKS - (diskBlock % CHUNK_BLOCKS);
    return Math.min(extent.fileBlock + extent.blockCount, chunkEnd);
  }

  #at(fileBlock: number): Ext4Extent | undefined {
    for (; this.#index < this.#extents.length; this.#index++) {
      const extent = this.#extents[this.#index];
      if (extent !== undefined && fileBlock < extent.fileBlock + extent.blockCount) return extent;
    }
    return undefined;
  }
}

function numberOf(disk: NumberedDisk, diskBlock: number): number {
  return disk.chunkNumber(Math.floor(diskBlock / CHUNK_BLOCKS));
}

/** The bytes of a piece; `undefined` for zeros. */
async function readPiece(disk: NumberedDisk, piece: Piece): Promise<Uint8Array | undefined> {
  if (piece.diskBlock === undefined) return undefined;
  const chunk = await disk.device.readChunk(Math.floor(piece.diskBlock / CHUNK_BLOCKS));
  const start = (piece.diskBlock % CHUNK_BLOCKS) * BLOCK_BYTES;
  return chunk?.subarray(start, start + piece.blockCount * BLOCK_BYTES);
}

function equalPieces(before: Uint8Array | undefined, after: Uint8Array | undefined): boolean {
  if (before === undefined) return after === undefined || isAllZero(after);
  return after === undefined ? isAllZero(before) : equalBytes(before, after);
}
