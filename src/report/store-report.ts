/** What a customer has in a store: images, what each costs, and what they share. */
import { throwIfCancelled } from "../base/cancel.ts";
import type { LambdaImgError } from "../base/error.ts";
import type { Digest } from "../base/digest.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import { diskBytes, tableChunkName, type ManifestContent } from "../manifest/manifest.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import { imageError, imageFailure } from "../store/image-error.ts";
import type { ListedRef, Store } from "../store/store.ts";
import { ChunkCensus, countCommon, type ImageChunks } from "./chunk-census.ts";
import { readImageContents, type ChunkContents } from "./chunk-contents.ts";
import type { Region } from "./disk-regions.ts";

/** Images that the sharing matrix has at most: its size grows with their square. */
const MATRIX_IMAGES_MAX = 200;
/** The most shared chunks that are told of. */
const SHARED_CHUNKS_MAX = 100;
/** Paths that are named for each of those. */
const PATHS_PER_CHUNK = 8;

/** A store and the key of the customer who asks. */
export interface StoreView {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done; for people. */
  onProgress?(text: string): void;
}

/** One manifest and what it costs. Counts are of chunks; `unique` and `shared` are distinct ones and sum to `distinct`. */
export interface ImageUse {
  readonly manifestId: ManifestId;
  /** In byte order; none for a manifest that has lost its name. */
  readonly names: readonly string[];
  readonly sourceDigest: Digest;
  readonly diskBytes: number;
  readonly chunkCount: number;
  readonly zeroCount: number;
  /** Chunks that are not zero, a repeated one as often as the disk image has it. */
  readonly filledCount: number;
  readonly distinctCount: number;
  /** In no other image of the report. */
  readonly uniqueCount: number;
  readonly sharedCount: number;
  readonly chunks: ImageChunks;
}

/** A name, or a manifest without one, that cannot be read. */
export interface UnreadableImage {
  /** None for a manifest that has lost its name. */
  readonly name: string | undefined;
  /** None where the ref cannot be read. */
  readonly manifestId: ManifestId | undefined;
  /** It has name or manifest in its message, and as `image` in its details. */
  readonly error: LambdaImgError;
}

/** A chunk that several images have, and what one of them has in it. */
export interface SharedChunk {
  readonly name: ChunkName;
  readonly imageCount: number;
  /** An index of `images`: the image whose place and contents these are. */
  readonly imageIndex: number;
  readonly chunkIndex: number;
  readonly region: Region | undefined;
  readonly contents: ChunkContents;
}

/** The report. */
export interface StoreReport {
  /** Named ones first, in byte order of their first names; then the others by manifest id. */
  readonly images: readonly ImageUse[];
  /**
   * Names in byte order, then manifests without one by their ids. An image of which only the files cannot be looked
   * into is in `images`, too: what it costs is known.
   */
  readonly unreadable: readonly UnreadableImage[];
  readonly census: ChunkCensus;
  /** Sums over `images`. */
  readonly totals: {
    readonly diskBytes: number;
    readonly filledBytes: number;
    /** Bytes of distinct chunks: what the store keeps. */
    readonly storedBytes: number;
  };
  /** Common chunks of each two of the first MATRIX_IMAGES_MAX images; the diagonal has their own. */
  readonly matrix: readonly (readonly number[])[];
  readonly mostShared: readonly SharedChunk[];
}

/**
 * Reads all manifests of the customer, and the metadata of the images whose chunks are the most shared. Images that
 * cannot be read are told in the report, and keep no other out of it.
 * @throws STORE_NOT_FOUND; what the store throws for a list; CANCELLED
 */
export async function reportStore(view: StoreView): Promise<StoreReport> {
  const census = new ChunkCensus();
  const counted: CountedImage[] = [];
  const listed = await listImages(view);
  /** Of manifests, by their ids. */
  const failures = new Map<ManifestId, LambdaImgError>();
  for (const { manifestId, names } of listed.images) {
    throwIfCancelled(view.signal);
    view.onProgress?.(`reading manifest ${counted.length + 1}`);
    try {
      counted.push(countImage({ manifestId, names }, await openStoredManifest(view, manifestId), census));
    } catch (error) {
      failures.set(manifestId, imageFailure(error));
    }
  }
  const images = counted.map((image) => useOf(image, census));
  const sum = (count: (image: ImageUse) => number): number =>
    images.reduce((total, image) => total + count(image), 0);
  const mostShared = await describeShared(view, { images, census, failures });
  return {
    images,
    unreadable: unreadableOf(listed, failures),
    census,
    totals: {
      diskBytes: sum((image) => image.diskBytes),
      filledBytes: sum((image) => image.filledCount) * CHUNK_BYTES,
      storedBytes: census.chunkCount * CHUNK_BYTES,
    },
    matrix: matrixOf(images.slice(0, MATRIX_IMAGES_MAX)),
    mostShared,
  };
}

/** A manifest of the customer, opened. */
export async function openStoredManifest(
  { store, keyring }: StoreView,
  manifestId: ManifestId,
): Promise<ManifestContent> {
  return openManifest(await store.getManifest(keyring.customerId, manifestId), keyring.customerKey());
}

interface CountedImage {
  readonly manifestId: ManifestId;
  readonly names: readonly string[];
  readonly sourceDigest: Digest;
  readonly diskBytes: number;
  readonly diskChunkCount: number;
  readonly chunks: ImageChunks;
}

interface FoundImages {
  /** What the listing of names has, in its order. */
  readonly refs: readonly ListedRef[];
  /** Every manifest once, with all its names: two names for one manifest cost nothing. */
  readonly images: readonly { readonly manifestId: ManifestId; readonly names: readonly string[] }[];
}

async function listImages({ store, keyring }: StoreView): Promise<FoundImages> {
  const images = new Map<ManifestId, { manifestId: ManifestId; names: string[] }>();
  const refs = await store.listRefs(keyring.customerId);
  for (const ref of refs) {
    if ("error" in ref) continue;
    const { imageName, manifestId } = ref;
    const image = images.get(manifestId) ?? { manifestId, names: [] };
    image.names.push(imageName);
    images.set(manifestId, image);
  }
  for (const manifestId of await store.listManifests(keyring.customerId)) {
    if (!images.has(manifestId)) images.set(manifestId, { manifestId, names: [] });
  }
  return { refs, images: [...images.values()] };
}

function unreadableOf(
  { refs, images }: FoundImages,
  failures: ReadonlyMap<ManifestId, LambdaImgError>,
): readonly UnreadableImage[] {
  const named = refs.flatMap((ref): UnreadableImage[] => {
    const { imageName: name } = ref;
    if ("error" in ref) return [{ name, manifestId: undefined, error: ref.error }];
    const { manifestId } = ref;
    const error = failures.get(manifestId);
    return error === undefined ? [] : [{ name, manifestId, error: imageError(error, name) }];
  });
  const nameless = images.flatMap(({ manifestId, names }): UnreadableImage[] => {
    const error = names.length === 0 ? failures.get(manifestId) : undefined;
    return error === undefined ? [] : [{ name: undefined, manifestId, error: imageError(error, manifestId) }];
  });
  return [...named, ...nameless];
}

function countImage(
  { manifestId, names }: Pick<ImageUse, "manifestId" | "names">,
  content: ManifestContent,
  census: ChunkCensus,
): CountedImage {
  return {
    manifestId,
    names,
    sourceDigest: content.image.sourceDigest,
    diskBytes: diskBytes(content),
    diskChunkCount: content.diskChunkCount,
    chunks: census.add(content),
  };
}

function useOf({ diskChunkCount, ...image }: CountedImage, census: ChunkCensus): ImageUse {
  const filledCount = image.chunks.ordinals.length;
  const distinctCount = image.chunks.distinct.length;
  let uniqueCount = 0;
  for (const ordinal of image.chunks.distinct) if (census.imageCount(ordinal) === 1) uniqueCount++;
  return {
    ...image,
    chunkCount: diskChunkCount,
    zeroCount: diskChunkCount - filledCount,
    filledCount,
    distinctCount,
    uniqueCount,
    sharedCount: distinctCount - uniqueCount,
  };
}

function matrixOf(images: readonly ImageUse[]): number[][] {
  const matrix = images.map(() => images.map(() => 0));
  for (const [row, left] of images.entries()) {
    for (let column = row; column < images.length; column++) {
      const right = images[column] ?? left;
      const count = countCommon(left.chunks, right.chunks);
      for (const [at, other] of [
        [row, column],
        [column, row],
      ] as const) {
        const cells = matrix[at];
        if (cells !== undefined) cells[other] = count;
      }
    }
  }
  return matrix;
}

interface Sharing {
  readonly images: readonly ImageUse[];
  readonly census: ChunkCensus;
  /** Is given those of images whose files cannot be looked into. */
  readonly failures: Map<ManifestId, LambdaImgError>;
}

async function describeShared(
  view: StoreView,
  { images, census, failures }: Sharing,
): Promise<SharedChunk[]> {
  const ordinals = census.mostShared(SHARED_CHUNKS_MAX);
  const described = new Map<number, SharedChunk>();
  for (const [imageIndex, image] of images.entries()) {
    const places = new Map<number, number>();
    for (const ordinal of ordinals) {
      const position = described.has(ordinal) ? -1 : image.chunks.ordinals.indexOf(ordinal);
      if (position >= 0) places.set(ordinal, position);
    }
    if (places.size === 0) continue;
    view.onProgress?.(`reading the files of ${image.names[0] ?? image.manifestId}`);
    try {
      for (const [ordinal, place] of await readPlaces(view, image, places)) {
        described.set(ordinal, { ...place, imageCount: census.imageCount(ordinal), imageIndex });
      }
    } catch (error) {
      // The next image that has the chunks may say what is in them.
      failures.set(image.manifestId, imageFailure(error));
    }
  }
  return ordinals.flatMap((ordinal) => described.get(ordinal) ?? []);
}

/** What one image says of chunks: those of ordinals, at their positions in its table. */
async function readPlaces(
  view: StoreView,
  image: ImageUse,
  places: ReadonlyMap<number, number>,
): Promise<Map<number, Omit<SharedChunk, "imageCount" | "imageIndex">>> {
  const content = await openStoredManifest(view, image.manifestId);
  const indexes = new Map([...places].map(([ordinal, at]) => [ordinal, content.indexes[at] ?? 0] as const));
  const wanted = new Set(indexes.values());
  const { regions, contents } = await readImageContents(view.store, content, {
    keptMax: PATHS_PER_CHUNK,
    isWanted: (chunkIndex) => wanted.has(chunkIndex),
    signal: view.signal,
  });
  const found = new Map<number, Omit<SharedChunk, "imageCount" | "imageIndex">>();
  for (const [ordinal, chunkIndex] of indexes) {
    found.set(ordinal, {
      name: tableChunkName(content, places.get(ordinal) ?? 0),
      chunkIndex,
      region: regions.at(chunkIndex),
      // Nothing: hidden files, bitmaps, slots that are not in use.
      contents: contents.get(chunkIndex) ?? { kept: [], pathCount: 0 },
    });
  }
  return found;
}
