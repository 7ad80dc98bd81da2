/** What lies in which chunk: files, directories, inodes, by one walk through the disk image. */
import type { ByteString } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancel.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader, type Ext4Extent, type Ext4Inode } from "../ext4/reader.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import type { ChunkReader } from "../store/store.ts";
import { BLOCK_BYTES, CHUNK_BLOCKS, readRegions, type DiskRegions } from "./disk-regions.ts";

/** A path and how much of it lies in a chunk. */
export interface ChunkPath {
  readonly path: ByteString;
  /** Whole blocks of its content, or the bytes of its inode. */
  readonly sizeBytes: number;
}

/** What a chunk holds. */
export interface ChunkContents {
  /** The largest parts first, of equal ones the first by path; no more than was asked for. */
  readonly kept: readonly ChunkPath[];
  /** All of them. An inode with several names is one. */
  readonly pathCount: number;
}

/** Which chunks to look into, and how many paths of each to keep. */
export interface ContentsOptions {
  readonly keptMax: number;
  isWanted(chunkIndex: number): boolean;
  readonly signal?: AbortSignal | undefined;
}

/** EXT4_EXTENTS_FL: i_block is an extent tree, not a symlink's target or a device's number. */
const EXTENTS_FLAG = 0x80000;

/** An image's regions, and what its chunks hold; a chunk in which no path has anything is not in the map. */
export interface ImageContents {
  readonly regions: DiskRegions;
  readonly contents: ReadonlyMap<number, ChunkContents>;
}

/**
 * Opens an image's disk and walks it. Memory follows the wanted chunks, not the paths.
 * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED, CHUNK_NOT_FOUND, CHUNK_CORRUPT; what the store throws; CANCELLED
 */
export async function readImageContents(
  store: ChunkReader,
  content: ManifestContent,
  options: ContentsOptions,
): Promise<ImageContents> {
  const device = new ImageDevice(store, content);
  const reader = await Ext4Reader.open(device);
  const regions = await readRegions(device, reader.superblock, content.image.segments);
  return { regions, contents: await walkContents(reader, regions, options) };
}

async function walkContents(
  reader: Ext4Reader,
  regions: DiskRegions,
  options: ContentsOptions,
): Promise<ReadonlyMap<number, ChunkContents>> {
  const found = new Map<number, MutableContents>();
  const seen = new SeenInodes();
  const put = (chunkIndex: number, entry: ChunkPath): void => {
    if (!options.isWanted(chunkIndex)) return;
    let contents = found.get(chunkIndex);
    if (contents === undefined) {
      contents = { kept: [], pathCount: 0 };
      found.set(chunkIndex, contents);
    }
    contents.pathCount++;
    keepLargest(contents.kept, entry, options.keptMax);
  };
  for await (const { path, inodeNumber, inode } of reader.walk()) {
    throwIfCancelled(options.signal);
    if (!seen.isFirst(inode)) continue;
    put(regions.inodeChunk(inodeNumber), { path, sizeBytes: reader.superblock.inodeBytes });
    for (const [chunkIndex, blockCount] of chunkParts(await blocksOf(reader, inode))) {
      put(chunkIndex, { path, sizeBytes: blockCount * BLOCK_BYTES });
    }
    if (inode.xattrBlock !== 0) {
      put(Math.floor(inode.xattrBlock / CHUNK_BLOCKS), { path, sizeBytes: BLOCK_BYTES });
    }
  }
  return found;
}

interface MutableContents {
  readonly kept: ChunkPath[];
  pathCount: number;
}

function keepLargest(kept: ChunkPath[], entry: ChunkPath, keptMax: number): void {
  const last = kept.at(-1);
  if (kept.length >= keptMax && last !== undefined && last.sizeBytes >= entry.sizeBytes) return;
  let at = kept.length;
  while (at > 0 && (kept[at - 1]?.sizeBytes ?? 0) < entry.sizeBytes) at--;
  kept.splice(at, 0, entry);
  if (kept.length > keptMax) kept.pop();
}

/** Tells the first name of an inode from its others; remembers only inodes that have others. */
export class SeenInodes {
  readonly #numbers = new Set<number>();

  isFirst(inode: Ext4Inode): boolean {
    // A directory's links are its subdirectories; it has one name.
    if (inode.type === "dir" || inode.linkCount < 2) return true;
    if (this.#numbers.has(inode.inodeNumber)) return false;
    this.#numbers.add(inode.inodeNumber);
    return true;
  }
}

/** The written extents of an inode that has any. */
export async function blocksOf(reader: Ext4Reader, inode: Ext4Inode): Promise<readonly Ext4Extent[]> {
  const hasBlocks = inode.type === "file" || inode.type === "dir" || inode.type === "symlink";
  if (!hasBlocks || (inode.flags & EXTENTS_FLAG) === 0) return [];
  return (await reader.extents(inode)).filter(({ isUnwritten }) => !isUnwritten);
}

/** The chunks that extents touch, and how many of their blocks each has. */
export function chunkParts(extents: readonly Ext4Extent[]): ReadonlyMap<number, number> {
  const parts = new Map<number, number>();
  for (const { diskBlock, blockCount } of extents) {
    for (let at = 0; at < blockCount;) {
      const chunkIndex = Math.floor((diskBlock + at) / CHUNK_BLOCKS);
      const step = Math.min(blockCount - at, (chunkIndex + 1) * CHUNK_BLOCKS - diskBlock - at);
      parts.set(chunkIndex, (parts.get(chunkIndex) ?? 0) + step);
      at += step;
    }
  }
  return parts;
}
