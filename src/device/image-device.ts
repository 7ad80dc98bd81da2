/** A disk image read chunk by chunk from a store: every chunk is verified before a byte of it is served. */
import { definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { BlockSource, CallOptions } from "../base/block-source.ts";
import { cancelled, unlessAborted } from "../base/cancel.ts";
import { forEachLimited } from "../base/pool.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import { checkSealedDigest } from "../chunk/sealed-chunk.ts";
import { chunkKeyAt, openChunk } from "../crypto/chunk-seal.ts";
import { diskBytes, findChunk, tableChunkName, type ManifestContent } from "../manifest/manifest.ts";
import type { ChunkReader } from "../store/store.ts";
import type { DeviceExtent, DeviceRange } from "./block-device.ts";
import { OpenChunks, openChunkNameAt, type OpenChunkName } from "./open-chunks.ts";

/** Of a device that has its open chunks to itself: 16 of them. */
const OPEN_BYTES_DEFAULT = 16 * CHUNK_BYTES;
const LOADS_AT_ONCE = 4;

/** Why a chunk is loaded: somebody waits for it, or it is likely to be asked for. */
export type LoadPurpose = "read" | "ahead";

/** Loads a chunk, anew at each call: reads it, verifies it, opens it. */
export type ChunkLoad = () => Promise<Uint8Array>;

export type GuardLoad = (
  chunkIndex: number,
  load: ChunkLoad,
  purpose?: LoadPurpose,
  signal?: AbortSignal,
) => Promise<Uint8Array>;

/** A load that is under way for those who read its chunk. */
interface SharedLoad {
  readonly plain: Promise<Uint8Array>;
  /** Those who wait for it. */
  waitingCount: number;
  readonly unwanted: AbortController;
}

/** How a disk image is read. */
export interface ImageDeviceOptions {
  /** Where chunks stay open, perhaps with those of other devices; 8 MiB of its own if left out. */
  readonly openChunks?: OpenChunks;
  /** Stands around every load. The signal comes when nobody waits for it any more. */
  readonly guardLoad?: GuardLoad;
  /**
   * Told that a stored chunk is read, before it is; not again while reads stay in that chunk. It is on the path of
   * every read.
   */
  readonly onVisit?: (chunkIndex: number) => void;
}

/**
 * The disk image of a manifest. Reads of one chunk at the same time share one load. A failed load is not
 * remembered.
 */
export class ImageDevice implements BlockSource {
  readonly sizeBytes: number;
  readonly #store: ChunkReader;
  readonly #content: ManifestContent;
  readonly #options: ImageDeviceOptions;
  readonly #openChunks: OpenChunks;
  /** By place in the table; made when they are needed. */
  readonly #openNames: Map<number, OpenChunkName> = new Map();
  /** By place in the table. */
  readonly #loads: Map<number, SharedLoad> = new Map();
  #visited = -1;
  #chunksRead = 0;

  constructor(store: ChunkReader, content: ManifestContent, options: ImageDeviceOptions = {}) {
    this.sizeBytes = diskBytes(content);
    this.#store = store;
    this.#content = content;
    this.#options = options;
    this.#openChunks = options.openChunks ?? new OpenChunks({ maxBytes: OPEN_BYTES_DEFAULT });
  }

  /** Chunks that came from the store and were verified; a chunk loaded again counts again. */
  get chunksRead(): number {
    return this.#chunksRead;
  }

  /** Bytes of those chunks. */
  get bytesRead(): number {
    return this.#chunksRead * CHUNK_BYTES;
  }

  /** The bytes; they may be a view of memory that is shared with other readers: do not write to them. */
  async read(offsetBytes: number, sizeBytes: number, options?: CallOptions): Promise<Uint8Array> {
    checkRange(this.sizeBytes, { offsetBytes, sizeBytes });
    const first = Math.floor(offsetBytes / CHUNK_BYTES);
    const end = offsetBytes + sizeBytes;
    if (end <= (first + 1) * CHUNK_BYTES) {
      // Most reads are of one chunk that is open: they shall cost no promise but this function's own.
      const position = sizeBytes === 0 ? -1 : findChunk(this.#content, first);
      if (position < 0) return new Uint8Array(sizeBytes);
      const chunk = this.#findOpen(first, position) ?? (await this.#loadOnce(position, options));
      const start = offsetBytes - first * CHUNK_BYTES;
      return chunk.subarray(start, start + sizeBytes);
    }
    const target = new Uint8Array(sizeBytes);
    await forEachLimited(chunkIndexes(first, end), LOADS_AT_ONCE, async (chunkIndex) => {
      const chunk = await this.readChunk(chunkIndex, options);
      const chunkStart = chunkIndex * CHUNK_BYTES;
      const from = Math.max(offsetBytes, chunkStart);
      const to = Math.min(end, chunkStart + CHUNK_BYTES);
      if (chunk !== undefined)
        target.set(chunk.subarray(from - chunkStart, to - chunkStart), from - offsetBytes);
    });
    return target;
  }

  /**
   * The plain chunk, or `undefined` for a zero chunk. The memory is shared with other readers: do not write to it.
   * @throws CHUNK_NOT_FOUND, CHUNK_CORRUPT, STORE_UNAVAILABLE; DISK_IMAGE_INVALID past the end
   */
  async readChunk(chunkIndex: number, options?: CallOptions): Promise<Uint8Array | undefined> {
    const position = this.#positionOf(chunkIndex);
    if (position < 0) return undefined;
    return this.#findOpen(chunkIndex, position) ?? this.#loadOnce(position, options);
  }

  /**
   * Opens a chunk that is likely to be asked for, unless it is open or being loaded, or a zero chunk. It counts as
   * no visit. @throws as readChunk
   */
  async readAhead(chunkIndex: number): Promise<void> {
    const position = this.#positionOf(chunkIndex);
    if (position < 0 || this.#loads.has(position)) return;
    const name = this.#openName(position);
    if (this.#openChunks.peek(name) !== undefined) return;
    const load = (): Promise<Uint8Array> => {
      // By the time that it has its turn, a read may have opened it.
      const open = this.#openChunks.peek(name);
      return open === undefined ? this.#load(position) : Promise.resolve(open);
    };
    const plain = await this.#guardLoad(chunkIndex, load, "ahead");
    this.#openChunks.add(name, plain, { isAhead: true });
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
  async prefetch(range: DeviceRange, options?: CallOptions): Promise<void> {
    checkRange(this.sizeBytes, range);
    const reachBytes = this.#openChunks.chunkCountMax * CHUNK_BYTES;
    const end = range.offsetBytes + Math.min(range.sizeBytes, reachBytes);
    const first = Math.floor(range.offsetBytes / CHUNK_BYTES);
    await forEachLimited(chunkIndexes(first, end), LOADS_AT_ONCE, async (chunkIndex) => {
      await this.readChunk(chunkIndex, options).catch(() => undefined); // The read that follows meets it again.
    });
  }

  /** The chunk's place in the table, or -1. */
  #positionOf(chunkIndex: number): number {
    const offsetBytes = Number.isSafeInteger(chunkIndex) ? chunkIndex * CHUNK_BYTES : Number.NaN;
    checkRange(this.sizeBytes, { offsetBytes, sizeBytes: CHUNK_BYTES });
    return findChunk(this.#content, chunkIndex);
  }

  #findOpen(chunkIndex: number, position: number): Uint8Array | undefined {
    if (this.#visited !== position) {
      this.#visited = position;
      this.#options.onVisit?.(chunkIndex);
    }
    return this.#openChunks.get(this.#openName(position));
  }

  #openName(position: number): OpenChunkName {
    const found = this.#openNames.get(position);
    if (found !== undefined) return found;
    const name = openChunkNameAt(this.#content, position);
    this.#openNames.set(position, name);
    return name;
  }

  async #loadOnce(position: number, { signal }: CallOptions = {}): Promise<Uint8Array> {
    if (signal?.aborted === true) throw cancelled();
    const load = this.#loads.get(position) ?? this.#beginLoad(position);
    load.waitingCount++;
    try {
      return await unlessAborted(load.plain, signal);
    } finally {
      load.waitingCount--;
      // The last one has left, and it has not ended: who comes later begins anew.
      if (load.waitingCount === 0 && this.#loads.get(position) === load) {
        this.#loads.delete(position);
        load.unwanted.abort();
      }
    }
  }

  #beginLoad(position: number): SharedLoad {
    const chunkIndex = definite(this.#content.indexes[position], "the place is in the table");
    const unwanted = new AbortController();
    const guarded = this.#guardLoad(chunkIndex, () => this.#load(position), "read", unwanted.signal);
    const plain = guarded
      .then((opened) => {
        this.#openChunks.add(this.#openName(position), opened, { isAhead: false });
        return opened;
      })
      .finally(() => {
        if (this.#loads.get(position) === load) this.#loads.delete(position);
      });
    const load = { plain, waitingCount: 0, unwanted };
    this.#loads.set(position, load);
    return load;
  }

  #guardLoad(...args: Parameters<GuardLoad>): Promise<Uint8Array> {
    const { guardLoad } = this.#options;
    return guardLoad === undefined ? args[1]() : guardLoad(...args);
  }

  async #load(position: number): Promise<Uint8Array> {
    const chunkIndex = definite(this.#content.indexes[position], "the place is in the table");
    const expected = tableChunkName(this.#content, position);
    const sealed = await this.#verified(expected).catch((error: unknown) => {
      throw withChunkIndex(error, chunkIndex);
    });
    const plain = openChunk(sealed, chunkKeyAt(this.#content.keys, position));
    this.#chunksRead++;
    return plain;
  }

  async #verified(name: ChunkName): Promise<Uint8Array> {
    const sealed = await this.#store.getChunk(name);
    if (this.#store.isVerifying !== true) checkSealedDigest(name, sealed);
    return sealed;
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
