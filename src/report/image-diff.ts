/** Which chunks one image has that another has not, and why: what an upload of the second costs after the first. */
import { throwIfCancelled } from "../base/cancel.ts";
import { compareByteStrings, type ByteString } from "../base/bytes.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader, type Ext4Inode } from "../ext4/reader.ts";
import { findChunk, type ManifestContent } from "../manifest/manifest.ts";
import type { ChunkReader } from "../store/store.ts";
import { ChunkCensus, type ImageChunks } from "./chunk-census.ts";
import { blocksOf, chunkParts, SeenInodes } from "./chunk-contents.ts";
import { BLOCK_BYTES, placesIn, readRegions, type DiskRegions, type Region } from "./disk-regions.ts";
import { compareContents, type NumberedDisk } from "./_compare-blocks.ts";
import { InodeCostCounter, type InodeCosts } from "./_inode-costs.ts";
import { pairWalks, type PathPair } from "./_pair-walks.ts";

/** Two images of one store, opened. */
export interface DiffInput {
  readonly store: ChunkReader;
  readonly before: ManifestContent;
  readonly after: ManifestContent;
  /** How many paths to tell of one by one: those with the most bytes in new chunks. */
  readonly pathCountMax: number;
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done; for people. */
  onProgress?(text: string): void;
}

/**
 * Why bytes of a path lie in a new chunk. `new`: the path is. `changed`: its content is. `moved`: the same content at
 * another place within a chunk. `neighbour`: the same content at the same place, beside something that is not.
 */
export type CostReason = "new" | "changed" | "moved" | "neighbour";
export const COST_REASONS: readonly CostReason[] = ["new", "changed", "moved", "neighbour"];

/** A file, directory or long symlink with blocks in new chunks. */
export interface PathCost {
  readonly path: ByteString;
  readonly type: Ext4Inode["type"];
  readonly reason: CostReason;
  readonly sizeBytes: number;
  /** Whole blocks of it that lie in new chunks. */
  readonly newBytes: number;
  readonly newChunkCount: number;
}

/** A sum over paths. */
export interface CostSum {
  readonly pathCount: number;
  readonly newBytes: number;
}

/** What a region of the second image costs. */
export interface RegionCost {
  readonly region: Region;
  /** Chunks that are not zero. */
  readonly filledCount: number;
  /** Distinct chunks that the first image has not; one that stands in two regions counts in the first of them. */
  readonly newCount: number;
  /** Of a segment: whether the first image has a layer with the same diff ID. */
  readonly isLayerKnown: boolean | undefined;
  readonly reasons: Readonly<Record<CostReason, CostSum>>;
}

/** The difference of two images. Chunk counts at places compare equal chunk indexes; the others, names anywhere. */
export interface ImageDiff {
  readonly places: {
    readonly sameCount: number;
    readonly changedCount: number;
    readonly onlyBeforeCount: number;
    readonly onlyAfterCount: number;
  };
  readonly chunks: {
    readonly commonCount: number;
    readonly onlyBeforeCount: number;
    readonly onlyAfterCount: number;
  };
  /** Bytes that a store which has the first image, and nothing else, lacks of the second. */
  readonly newBytes: number;
  readonly regions: readonly RegionCost[];
  /** The most bytes in new chunks first. */
  readonly paths: readonly PathCost[];
  /** What is not in `paths`. */
  readonly morePaths: CostSum;
  readonly inodes: InodeCosts;
}

/**
 * Compares two images by chunk names, extents and inodes; of contents it reads what these leave open.
 * @throws CHUNK_NOT_FOUND, CHUNK_CORRUPT, DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED; what the store throws; CANCELLED
 */
export async function diffImages(input: DiffInput): Promise<ImageDiff> {
  const census = new ChunkCensus();
  const before = await openSide(input, input.before, census);
  const after = await openSide(input, input.after, census);
  const costs = new CostCollector(before, after, input.pathCountMax);
  let walked = 0;
  for await (const pair of pairWalks(before.reader.walk(), after.reader.walk())) {
    throwIfCancelled(input.signal);
    if (++walked % PROGRESS_PATHS === 0) input.onProgress?.(`comparing ${walked} paths`);
    await costs.addPair(pair);
  }
  await costs.compareRest(input);
  const commonCount = before.chunks.distinct.length + after.chunks.distinct.length - census.chunkCount;
  const onlyAfterCount = after.chunks.distinct.length - commonCount;
  return {
    places: comparePlaces(before, after),
    chunks: {
      commonCount,
      onlyBeforeCount: before.chunks.distinct.length - commonCount,
      onlyAfterCount,
    },
    newBytes: onlyAfterCount * CHUNK_BYTES,
    ...costs.finish(),
  };
}

const PROGRESS_PATHS = 1000;

/** One of the two images. */
interface Side extends NumberedDisk {
  readonly content: ManifestContent;
  readonly chunks: ImageChunks;
  readonly reader: Ext4Reader;
  readonly regions: DiskRegions;
}

async function openSide(input: DiffInput, content: ManifestContent, census: ChunkCensus): Promise<Side> {
  const chunks = census.add(content);
  const device = new ImageDevice(input.store, content);
  const reader = await Ext4Reader.open(device);
  const regions = await readRegions(device, reader.superblock, content.image.segments);
  const chunkNumber = (chunkIndex: number): number => chunks.ordinals[findChunk(content, chunkIndex)] ?? -1;
  return { content, chunks, device, reader, regions, chunkNumber };
}

function comparePlaces(before: Side, after: Side): ImageDiff["places"] {
  let [sameCount, changedCount, onlyAfterCount] = [0, 0, 0];
  for (const [position, chunkIndex] of after.content.indexes.entries()) {
    const old = before.chunkNumber(chunkIndex);
    if (old < 0) onlyAfterCount++;
    else if (old === after.chunks.ordinals[position]) sameCount++;
    else changedCount++;
  }
  const onlyBeforeCount = before.content.indexes.length - sameCount - changedCount;
  return { sameCount, changedCount, onlyBeforeCount, onlyAfterCount };
}

/** A path of which only its content can tell why it costs something. */
interface OpenCost extends Omit<PathCost, "reason"> {
  readonly region: Region | undefined;
  /** Known, or `undefined` where the contents have to be compared. */
  readonly reason: CostReason | undefined;
  readonly beforeNumber: number;
  readonly afterNumber: number;
  readonly firstBlock: number;
}

type MutableSum = { -readonly [Key in keyof CostSum]: CostSum[Key] };

/** Collects what costs what, first from names and inodes, then from contents. */
class CostCollector {
  readonly #before: Side;
  readonly #after: Side;
  readonly #pathCountMax: number;
  readonly #seen = new SeenInodes();
  readonly #reasons = new Map<Region, Record<CostReason, MutableSum>>();
  readonly #more: MutableSum = { pathCount: 0, newBytes: 0 };
  readonly #inodes = new InodeCostCounter();
  #open: OpenCost[] = [];
  #paths: PathCost[] = [];

  constructor(before: Side, after: Side, pathCountMax: number) {
    this.#pathCountMax = pathCountMax;
    this.#before = before;
    this.#after = after;
  }

  async addPair({ before, after }: PathPair): Promise<void> {
    if (after === undefined) {
      if (before !== undefined && this.#isInNewTable(before.inodeNumber)) {
        this.#inodes.addRemoved(before.inode);
      }
      return;
    }
    if (!this.#seen.isFirst(after.inode)) return;
    if (this.#isInNewTable(after.inodeNumber)) {
      this.#inodes.add(before?.inode, after.inode);
    }
    const extents = await blocksOf(this.#after.reader, after.inode);
    let blockCount = 0;
    let newChunkCount = 0;
    let region: Region | undefined;
    for (const [chunkIndex, partBlocks] of chunkParts(extents)) {
      if (!this.#isNew(chunkIndex)) continue;
      region ??= this.#after.regions.at(chunkIndex);
      blockCount += partBlocks;
      newChunkCount++;
    }
    if (blockCount === 0) return;
    this.#push({
      path: after.path,
      type: after.inode.type,
      reason: reasonByInode(before?.inode, after.inode),
      sizeBytes: after.inode.sizeBytes,
      newBytes: blockCount * BLOCK_BYTES,
      newChunkCount,
      region,
      beforeNumber: before?.inodeNumber ?? 0,
      afterNumber: after.inodeNumber,
      firstBlock: extents[0]?.diskBlock ?? 0,
    });
  }

  /** Compares contents in the order of the second disk, so that every chunk is opened about once. */
  async compareRest(input: Pick<DiffInput, "signal" | "onProgress">): Promise<void> {
    this.#dropSmallest();
    const open = this.#open.sort((left, right) => left.firstBlock - right.firstBlock);
    this.#open = [];
    for (const [index, cost] of open.entries()) {
      throwIfCancelled(input.signal);
      if (index % PROGRESS_PATHS === 0) input.onProgress?.(`comparing ${open.length - index} contents`);
      const { path, type, sizeBytes, newBytes, newChunkCount } = cost;
      const reason = cost.reason ?? (await this.#reasonByContent(cost));
      this.#paths.push({ path, type, reason, sizeBytes, newBytes, newChunkCount });
      if (cost.region === undefined) continue;
      const sum = this.#sumsOf(cost.region)[reason];
      sum.pathCount++;
      sum.newBytes += newBytes;
    }
    this.#paths.sort(byCost);
  }

  finish(): Pick<ImageDiff, "regions" | "paths" | "morePaths" | "inodes"> {
    return {
      regions: this.#regionCosts(),
      paths: this.#paths,
      morePaths: this.#more,
      inodes: this.#inodes.finish(),
    };
  }

  /** False, too, for a number that the second disk has no inode for. */
  #isInNewTable(inodeNumber: number): boolean {
    const { regions } = this.#after;
    const chunkIndex = regions.inodeChunk(inodeNumber);
    return regions.at(chunkIndex)?.kind === "inodes" && this.#isNew(chunkIndex);
  }

  #isNew(chunkIndex: number): boolean {
    // The first image's chunks have the first ordinals.
    return this.#after.chunkNumber(chunkIndex) >= this.#before.chunks.distinct.length;
  }

  #push(cost: OpenCost): void {
    this.#open.push(cost);
    if (this.#open.length >= 2 * this.#pathCountMax) this.#dropSmallest();
  }

  #dropSmallest(): void {
    if (this.#open.length <= this.#pathCountMax) return;
    for (const { newBytes } of this.#open.sort(byCost).splice(this.#pathCountMax)) {
      this.#more.pathCount++;
      this.#more.newBytes += newBytes;
    }
  }

  async #reasonByContent(cost: OpenCost): Promise<CostReason> {
    const contentOf = async (
      side: Side,
      inodeNumber: number,
    ): Promise<Parameters<typeof compareContents>[0]> => ({
      disk: side,
      extents: await blocksOf(side.reader, await side.reader.readInode(inodeNumber)),
    });
    const verdict = await compareContents(
      await contentOf(this.#before, cost.beforeNumber),
      await contentOf(this.#after, cost.afterNumber),
    );
    return verdict === "same" ? "neighbour" : verdict;
  }

  #sumsOf(region: Region): Record<CostReason, MutableSum> {
    const sums = this.#reasons.get(region) ?? emptySums();
    this.#reasons.set(region, sums);
    return sums;
  }

  #regionCosts(): RegionCost[] {
    const { content, chunks, regions } = this.#after;
    const known = new Set<string>(this.#before.content.image.layerDiffIds);
    const counted = new Set<number>();
    return regions.all.flatMap((region): RegionCost[] => {
      let newCount = 0;
      const places = placesIn(content, region);
      for (let position = places.from; position < places.to; position++) {
        const ordinal = chunks.ordinals[position] ?? 0;
        if (ordinal < this.#before.chunks.distinct.length || counted.has(ordinal)) continue;
        counted.add(ordinal);
        newCount++;
      }
      const filledCount = places.to - places.from;
      const diffId = content.image.layerDiffIds[region.layerIndex ?? -1];
      const isLayerKnown = diffId === undefined ? undefined : known.has(diffId);
      if (filledCount === 0) return [];
      return [{ region, filledCount, newCount, isLayerKnown, reasons: this.#sumsOf(region) }];
    });
  }
}

/** What the inodes alone can tell. */
function reasonByInode(before: Ext4Inode | undefined, after: Ext4Inode): CostReason | undefined {
  if (before === undefined) return "new";
  return before.type !== after.type || before.sizeBytes !== after.sizeBytes ? "changed" : undefined;
}

function byCost(
  left: Pick<PathCost, "newBytes" | "path">,
  right: Pick<PathCost, "newBytes" | "path">,
): number {
  return right.newBytes - left.newBytes || compareByteStrings(left.path, right.path);
}

function emptySums(): Record<CostReason, MutableSum> {
  const sum = (): MutableSum => ({ pathCount: 0, newBytes: 0 });
  return { new: sum(), changed: sum(), moved: sum(), neighbour: sum() };
}
