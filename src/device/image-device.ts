/** A disk image read chunk by chunk from a store: every chunk is verified before a byte of it is served. */
import { assert, definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { BlockSource } from "../base/block-source.ts";
import { forEachLimited } from "../base/pool.ts";
import { CHUNK_BYTES, chunkNameOf } from "../chunk/chunk.ts";
import { chunkKeyAt, openChunk } from "../crypto/chunk-seal.ts";
import { diskBytes, findChunk, tableChunkName, type ManifestContent } from "../manifest/manifest.ts";
import type { ChunkReader } from "../store/store.ts";
import type { DeviceExtent, DeviceRange } from "./block-device.ts";

const OPEN_CHUNKS_MAX_DEFAULT = 16;
const LOADS_AT_ONCE = 4;

/** How a disk image is read. */
export interface ImageDeviceOptions {
  /** Chunks that stay open, 512 KiB of memory each; 16 if left out. */
  readonly openChunksMax?: number;
  /** Stands around every load. `load` reads the chunk from the store and verifies it, anew at each call. */
  readonly guardLoad?: (chunkIndex: number, load: () => Promise<Uint8Array>) => Promise<Uint8Array>;
}

/**
 * The disk image of a manifest. It keeps a few chunks open, the most recently used; reads of one chunk at the
 * same time share one load. A failed load is not remembered.
 */
export class ImageDevice implements BlockSource {
  readonly sizeBytes: number;
  readonly #store: ChunkReader;
  readonly #content: ManifestContent;
  readonly #options: ImageDeviceOptions;
  /** By place in the table; the first is the one used longest ago. */
  readonly #open: Map<number, Uint8Array> = new Map();
  readonly #loads: Map<number, Promise<Uint8Array>> = new Map();
  #chunksRead = 0;

  constructor(store: ChunkReader, content: ManifestContent, options: ImageDeviceOptions = {}) {
    this.sizeBytes = diskBytes(content);
    this.#store = store;
    this.#content = content;
    this.#options = options;
  }

  /** Chunks that came from the store and were verified; a chunk loaded again counts again. */
  get chunksRead(): number {
    return this.#chunksRead;
  }

  /** Bytes of those chunks. */
  get bytesRead(): number {
    return this.#chunksRead * CHUNK_BYTES;
  }

  async read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array> {
    checkRange(this.sizeBytes, { offsetBytes, sizeBytes });
    const first = Math.floor(offsetBytes / CHUNK_BYTES);
    const end = offsetBytes + sizeBytes;
    if (end <= (first + 1) * CHUNK_BYTES) {
      const chunk = sizeBytes === 0 ? undefined : await this.readChunk(first);
      const start = offsetBytes - first * CHUNK_BYTES;
      return chunk === undefined ? new Uint8Array(sizeBytes) : chunk.subarray(start, start + sizeBytes);
    }
    const target = new Uint8Array(sizeBytes);
    await forEachLimited(chunkIndexes(first, end), LOADS_AT_ONCE, async (chunkIndex) => {
      const chunk = await this.readChunk(chunkIndex);
      const chunkStart = chunkIndex * CHUNK_BYTES;
      const from = Math.max(offsetBytes, chunkStart);
      const to = Math.min(end, chunkStart + CHUNK_BYTES);
      if (chunk !== undefined)
        target.set(chunk.subarray(from - chunkStart, to - chunkStart), from - offsetBytes);
    });
    return target;
  }

  /**
   * The plain chunk, or `undefined` for a zero chunk. The memory is shared with this device: do not write to it.
   * @throws CHUNK_NOT_FOUND, CHUNK_CORRUPT, STORE_UNAVAILABLE; DISK_IMAGE_INVALID past the end
   */
  async readChunk(chunkIndex: number): Promise<Uint8Array | undefined> {
    const offsetBytes = Number.isSafeInteger(chunkIndex) ? chunkIndex * CHUNK_BYTES : Number.NaN;
    checkRange(this.sizeBytes, { offsetBytes, sizeBytes: CHUNK_BYTES });
    const position = findChunk(this.#content, chunkIndex);
    if (position < 0) return undefined;
    const open = this.#open.get(position);
    if (open === undefined) return this.#loadOnce(position);
    this.#remember(position, open);
    return open;
  }

  /** What the range is made of, chunk by chunk: chunks that are not in the table are holes. */
  extents(range: DeviceRange): Promise<readonly DeviceExtent[]> {
    checkRange(this.sizeBytes, range);
    const extents: DeviceExtent[] = [];
    const end = range.offsetBytes + range.sizeBytes;
    for (let from = range.offsetBytes; from < end;) {
      const chunkIndex = Math.floor(from / CHUNK_BYTES);
      const to = Math.min(end, (chunkIndex + 1) * CHUNK_BYTES);
      const isHole = findChunk(this.#content, chunkIndex) < 0;
      const last = extents.at(-1);
      if (last?.isHole === isHole) {
        extents[extents.length - 1] = { ...last, sizeBytes: last.sizeBytes + to - from };
      } else extents.push({ sizeBytes: to - from, isZero: isHole, isHole });
      from = to;
    }
    return Promise.resolve(extents);
  }

  /** Opens the first chunks of the range, as many as may stay open. What cannot be read is left for a read to tell. */
  async prefetch(range: DeviceRange): Promise<void> {
    checkRange(this.sizeBytes, range);
    const reachBytes = this.#openChunksMax * CHUNK_BYTES;
    const end = range.offsetBytes + Math.min(range.sizeBytes, reachBytes);
    const first = Math.floor(range.offsetBytes / CHUNK_BYTES);
    await forEachLimited(chunkIndexes(first, end), LOADS_AT_ONCE, async (chunkIndex) => {
      await this.readChunk(chunkIndex).catch(() => undefined); // The read that follows meets it again.
    });
  }

  /** Lets go of the chunks that are open; a later read loads them again. */
  forgetChunks(): void {
    this.#open.clear();
  }

  get #openChunksMax(): number {
    return this.#options.openChunksMax ?? OPEN_CHUNKS_MAX_DEFAULT;
  }

  #loadOnce(position: number): Promise<Uint8Array> {
    const running = this.#loads.get(position);
    if (running !== undefined) return running;
    const chunkIndex = definite(this.#content.indexes[position], "the place is in the table");
    const guardLoad = this.#options.guardLoad ?? ((_, load) => load());
    const load = guardLoad(chunkIndex, () => this.#load(position))
      .then((plain) => {
        this.#remember(position, plain);
        return plain;
      })
      .finally(() => this.#loads.delete(position));
    this.#loads.set(position, load);
    return load;
  }

  async #load(position: number): Promise<Uint8Array> {
    const chunkIndex = definite(this.#content.indexes[position], "the place is in the table");
    const expected = tableChunkName(this.#content, position);
    const sealed = await this.#store.getChunk(expected).catch((error: unknown) => {
      throw withChunkIndex(error, chunkIndex);
    });
    const found = chunkNameOf(sealed);
    if (found !== expected) {
      throw new LambdaImgError(
        "CHUNK_CORRUPT",
        `chunk ${chunkIndex}: digest mismatch: expected sha256:${expected}, found sha256:${found}`,
        { details: { chunkIndex, expected: `sha256:${expected}`, found: `sha256:${found}` } },
      );
    }
    const plain = openChunk(sealed, chunkKeyAt(this.#content.keys, position));
    this.#chunksRead++;
    return plain;
  }

  /** Makes a chunk the most recently used one. */
  #remember(position: number, plain: Uint8Array): void {
    this.#open.delete(position);
    this.#open.set(position, plain);
    if (this.#open.size <= this.#openChunksMax) return;
    const oldest = this.#open.keys().next();
    assert(oldest.done !== true, "a full map has a first key");
    this.#open.delete(oldest.value);
  }
}

function* chunkIndexes(first: number, endBytes: number): Generator<number> {
  for (let chunkIndex = first; chunkIndex * CHUNK_BYTES < endBytes; chunkIndex++) yield chunkIndex;
}

function checkRange(
  diskSizeBytes: number,
  range: { readonly offsetBytes: number; readonly sizeBytes: number },
): void {
  const { offsetBytes, sizeBytes } = range;
  const isWhole = Number.isSafeInteger(offsetBytes) && Number.isSafeInteger(sizeBytes);
  if (isWhole && offsetBytes >= 0 && sizeBytes >= 0 && offsetBytes + sizeBytes <= diskSizeBytes) return;
  throw new LambdaImgError(
    "DISK_IMAGE_INVALID",
    `disk image: read outside of it: expected at most ${diskSizeBytes} bytes, found ${sizeBytes} at ${offsetBytes}`,
    { details: { diskBytes: diskSizeBytes, offsetBytes, sizeBytes } },
  );
}

/** A failure of the store, with the chunk's place in the disk image. */
function withChunkIndex(error: unknown, chunkIndex: number): unknown {
  if (!isLambdaImgError(error)) return error;
  return new LambdaImgError(error.code, `chunk ${chunkIndex}: ${error.message}`, {
    details: { ...error.details, chunkIndex },
    cause: error,
  });
}
