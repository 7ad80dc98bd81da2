/** Who shares what: the chunks of several images, each distinct one counted once an image. */
import type { ChunkName } from "../chunk/chunk.ts";
import { tableChunkNames, type ChunkTable } from "../manifest/manifest.ts";

/** The chunks of one image by their ordinals in a census. */
export interface ImageChunks {
  /** For each place of the chunk table. */
  readonly ordinals: Uint32Array;
  /** The same without repetition, ascending. */
  readonly distinct: Uint32Array;
}

/**
 * Gives every distinct chunk an ordinal, in order of first appearance. It keeps some 150 bytes for each distinct
 * chunk; an image's own lists are 4 bytes a chunk.
 */
export class ChunkCensus {
  readonly #ordinals = new Map<ChunkName, number>();
  readonly #imageCounts: number[] = [];

  /** Counts an image; the same image twice counts twice. */
  add(table: ChunkTable): ImageChunks {
    const ordinals = new Uint32Array(table.indexes.length);
    let position = 0;
    for (const name of tableChunkNames(table)) {
      let ordinal = this.#ordinals.get(name);
      if (ordinal === undefined) {
        ordinal = this.#ordinals.size;
        this.#ordinals.set(name, ordinal);
        this.#imageCounts.push(0);
      }
      ordinals[position++] = ordinal;
    }
    const distinct = withoutRepetition(ordinals);
    for (const ordinal of distinct) this.#imageCounts[ordinal] = this.imageCount(ordinal) + 1;
    return { ordinals, distinct };
  }

  /** Distinct chunks of all images. */
  get chunkCount(): number {
    return this.#imageCounts.length;
  }

  /** How many images have the chunk. */
  imageCount(ordinal: number): number {
    return this.#imageCounts[ordinal] ?? 0;
  }

  /** How many chunks are in exactly so many images: pairs of images and chunks, most images first. */
  histogram(): (readonly [imageCount: number, chunkCount: number])[] {
    const counts = new Map<number, number>();
    for (const images of this.#imageCounts) counts.set(images, (counts.get(images) ?? 0) + 1);
    return [...counts].sort(([left], [right]) => right - left);
  }

  /** Ordinals of the chunks that most images have, at least two; of equal ones those first seen. */
  mostShared(count: number): number[] {
    const shared: number[] = [];
    for (const [ordinal, images] of this.#imageCounts.entries()) if (images > 1) shared.push(ordinal);
    shared.sort((left, right) => this.imageCount(right) - this.imageCount(left) || left - right);
    return shared.slice(0, count);
  }
}

/** How many chunks two images have in common. */
export function countCommon(left: ImageChunks, right: ImageChunks): number {
  let count = 0;
  let at = 0;
  for (const ordinal of left.distinct) {
    while (at < right.distinct.length && (right.distinct[at] ?? 0) < ordinal) at++;
    if (right.distinct[at] === ordinal) count++;
  }
  return count;
}

function withoutRepetition(ordinals: Uint32Array): Uint32Array {
  const sorted = ordinals.toSorted((left, right) => left - right);
  return sorted.filter((ordinal, at) => at === 0 || ordinal !== sorted[at - 1]);
}
