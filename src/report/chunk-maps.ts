/** Maps of the chunks of images, ready to be drawn: for each chunk who shares it and what is in it. */
import { showByteString } from "../base/bytes.ts";
import { showBytes } from "../base/units.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import type { ChunkCensus, ImageChunks } from "./chunk-census.ts";
import type { ChunkContents } from "./chunk-contents.ts";
import { placesIn, regionLabel, type DiskRegions, type Region, type RegionKind } from "./disk-regions.ts";

/** Images on one page; a chunk's sharers are bits of one number. */
export const MAP_IMAGES_MAX = 32;
/** Squares on one page: what a browser draws and holds without trouble. */
export const MAP_CELLS_MAX = 400_000;
/** Lists of paths on one page have this many entries together at most, and each no more than LIST_PATHS_MAX. */
const PATHS_MAX = 400_000;
const LIST_PATHS_MAX = 8;

/** An image to be drawn, and what is known of it. */
export interface MappedImage {
  readonly title: string;
  readonly lines: readonly string[];
  readonly content: ManifestContent;
  readonly chunks: ImageChunks;
  readonly regions: DiskRegions;
  readonly contents: ReadonlyMap<number, ChunkContents>;
}

/** What the page's script draws. Numbers in `sets` and `lists` of a region are indexes; -1 is a zero chunk. */
export interface MapDrawing {
  readonly images: readonly { readonly title: string; readonly regions: readonly DrawnRegion[] }[];
  /** How many images have a chunk, and which of those on the page. */
  readonly sets: readonly (readonly [imageCount: number, images: readonly number[]])[];
  /** How many paths a chunk has something of, and the largest of them. */
  readonly lists: readonly (readonly [pathCount: number, paths: readonly (readonly [string, string])[]])[];
}

/** A region's squares. */
export interface DrawnRegion {
  readonly kind: RegionKind;
  readonly label: string;
  readonly detail: string;
  readonly first: number;
  readonly sets: readonly number[];
  readonly lists: readonly number[];
}

/** The maps, and the same in words and tables. */
export interface ChunkMaps {
  readonly images: readonly {
    readonly title: string;
    readonly lines: readonly string[];
    readonly note: string;
    readonly regionRows: readonly (readonly string[])[];
  }[];
  readonly drawing: MapDrawing;
  /** Which images are left out, if any. */
  readonly note: string;
}

/** How many paths are kept for each chunk where a page has so many chunks. */
export function pathsPerChunk(chunkCount: number): number {
  return Math.max(1, Math.min(LIST_PATHS_MAX, Math.floor(PATHS_MAX / Math.max(chunkCount, 1))));
}

/** Collects images one after another, so that only one has its contents in memory. */
export class ChunkMapBuilder {
  readonly #census: ChunkCensus;
  readonly #sharers: Uint32Array;
  readonly #sets = new Interner<readonly [number, readonly number[]]>();
  readonly #lists = new Interner<readonly [number, readonly (readonly [string, string])[]]>();
  readonly #images: ChunkMaps["images"][number][] = [];
  readonly #drawn: { readonly title: string; readonly regions: readonly DrawnRegion[] }[] = [];

  /** `mapped` are the chunks of the images that will be added, in that order: at most MAP_IMAGES_MAX. */
  constructor(census: ChunkCensus, mapped: readonly ImageChunks[]) {
    this.#census = census;
    this.#sharers = new Uint32Array(census.chunkCount);
    for (const [index, { distinct }] of mapped.entries()) {
      for (const ordinal of distinct) {
        this.#sharers[ordinal] = ((this.#sharers[ordinal] ?? 0) | (1 << index)) >>> 0;
      }
    }
  }

  add(image: MappedImage): void {
    const shown = image.regions.all.filter((region) => isShown(image, region));
    const free = image.regions.all
      .filter((region) => !shown.includes(region))
      .reduce((sum, { chunkCount }) => sum + chunkCount, 0);
    const regions = shown.map((region) => this.#draw(image, region));
    this.#drawn.push({ title: image.title, regions });
    this.#images.push({
      title: image.title,
      lines: image.lines,
      note: free === 0 ? "" : `Not drawn: ${free} zero chunks of free space.`,
      regionRows: regions.map((region) => this.#row(region)),
    });
  }

  finish(note: string): ChunkMaps {
    const drawing = { images: this.#drawn, sets: this.#sets.all, lists: this.#lists.all };
    return { images: this.#images, drawing, note };
  }

  #draw(image: MappedImage, region: Region): DrawnRegion {
    const sets: number[] = [];
    const lists: number[] = [];
    let position = placesIn(image.content, region).from;
    for (let at = 0; at < region.chunkCount; at++) {
      const chunkIndex = region.firstChunk + at;
      if (image.content.indexes[position] !== chunkIndex) {
        sets.push(-1);
        lists.push(-1);
        continue;
      }
      sets.push(this.#set(image.chunks.ordinals[position++] ?? 0));
      lists.push(this.#list(image.contents.get(chunkIndex)));
    }
    const diffId = image.content.image.layerDiffIds[region.layerIndex ?? -1];
    const label = regionLabel(region);
    return { kind: region.kind, label, detail: diffId ?? "", first: region.firstChunk, sets, lists };
  }

  #set(ordinal: number): number {
    const imageCount = this.#census.imageCount(ordinal);
    const sharers = this.#sharers[ordinal] ?? 0;
    return this.#sets.index(`${imageCount}:${sharers}`, () => [imageCount, bitsOf(sharers)]);
  }

  #list(contents: ChunkContents | undefined): number {
    if (contents === undefined) return -1;
    const { pathCount, kept } = contents;
    const paths = kept.map(({ path, sizeBytes }) => [showByteString(path), showBytes(sizeBytes)] as const);
    const list = [pathCount, paths] as const;
    return this.#lists.index(JSON.stringify(list), () => list);
  }

  #row({ label, first, sets }: DrawnRegion): string[] {
    const counts = sets.filter((set) => set >= 0).map((set) => this.#sets.all[set]?.[0] ?? 0);
    const unique = counts.filter((count) => count === 1).length;
    return [label, first, counts.length, sets.length - counts.length, unique, counts.length - unique].map(
      String,
    );
  }
}

/** Free space is drawn where it has something. */
function isShown({ content }: MappedImage, region: Region): boolean {
  const { from, to } = placesIn(content, region);
  return to > from;
}

/** The squares that an image takes. */
export function cellCount(content: ManifestContent, regions: DiskRegions): number {
  return regions.all.reduce((sum, region) => {
    const { from, to } = placesIn(content, region);
    return to > from ? sum + region.chunkCount : sum;
  }, 0);
}

function bitsOf(bits: number): number[] {
  return Array.from({ length: MAP_IMAGES_MAX }, (_, index) => index).filter(
    (index) => ((bits >>> index) & 1) === 1,
  );
}

/** Numbers equal values, which are told apart by a key. */
class Interner<Value> {
  readonly all: Value[] = [];
  readonly #indexes = new Map<string, number>();

  index(key: string, value: () => Value): number {
    const known = this.#indexes.get(key);
    if (known !== undefined) return known;
    this.#indexes.set(key, this.all.length);
    this.all.push(value());
    return this.all.length - 1;
  }
}
