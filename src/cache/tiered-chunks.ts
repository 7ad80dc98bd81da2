// ⚡ uses: time
/** Stands before a store: looks for chunks on this machine's disk first, and keeps there what the store gives. docs/cache.md. */
import { copyOf } from "../base/bytes.ts";
import { isLambdaImgError } from "../base/error.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import type { LookupObserver, LookupOutcome, TierName } from "../chunk/lookup-observer.ts";
import { checkSealedDigest, checkSealedSize } from "../chunk/sealed-chunk.ts";
import type { ChunkReader } from "../store/store.ts";
import type { DiskTier } from "./disk-tier.ts";

/** Chunks that wait to be kept, the one that is being written included: 16 MiB. Of more than these, none is kept. */
const FILLS_MAX = 32;
const FILLS_AT_ONCE = 2;

/** What stands before what. Both stay the caller's. */
export interface TieredChunksOptions {
  readonly store: ChunkReader;
  readonly disk?: DiskTier;
  readonly observer?: LookupObserver;
}

interface SharedLoad {
  readonly sealed: Promise<Uint8Array>;
  /** Who has asked and has not been answered. */
  waiting: number;
}

/**
 * Chunks from the nearest tier that has them, all of them verified. What the disk has not, or cannot give, the store is
 * asked for. Who asks for one chunk at the same time shares one load.
 */
export class TieredChunks implements ChunkReader {
  readonly isVerifying = true;
  readonly #options: TieredChunksOptions;
  readonly #loads: Map<ChunkName, SharedLoad> = new Map();
  /** Chunks that are to be kept, in order. */
  readonly #fills: { readonly name: ChunkName; readonly sealed: Uint8Array }[] = [];
  readonly #filling: Set<Promise<void>> = new Set();
  /** The first bug that ended a fill, until it is thrown; a failure of the disk is none. */
  #bug: { readonly error: unknown } | undefined;

  constructor(options: TieredChunksOptions) {
    this.#options = options;
  }

  /** As a store does it. @throws CHUNK_CORRUPT also where the store gives another chunk than that of the name */
  async getChunk(name: ChunkName): Promise<Uint8Array> {
    let load = this.#loads.get(name);
    if (load === undefined) {
      load = { sealed: this.#load(name).finally(() => this.#loads.delete(name)), waiting: 0 };
      this.#loads.set(name, load);
    }
    load.waiting++;
    const sealed = await load.sealed;
    // Each owns what it gets: the last takes the original.
    return --load.waiting === 0 ? sealed : copyOf(sealed);
  }

  /** Resolves when everything is kept that was to be; a bug that kept a fill from it is thrown here, once. */
  async settle(): Promise<void> {
    while (this.#filling.size > 0) await Promise.all(this.#filling);
    const bug = this.#bug;
    this.#bug = undefined;
    if (bug !== undefined) throw bug.error;
  }

  async #load(name: ChunkName): Promise<Uint8Array> {
    const { disk } = this.#options;
    if (disk === undefined) return this.#askStore(name);
    const startMs = this.#startMs();
    const answer = await disk.get(name);
    this.#tell("disk", answer.outcome, startMs);
    if (answer.outcome === "hit") return answer.sealed;
    const sealed = await this.#askStore(name);
    this.#fill(disk, name, sealed);
    return sealed;
  }

  async #askStore(name: ChunkName): Promise<Uint8Array> {
    const startMs = this.#startMs();
    try {
      const sealed = await this.#options.store.getChunk(name);
      checkSealedSize(name, sealed.length);
      checkSealedDigest(name, sealed);
      this.#tell("store", "hit", startMs);
      return sealed;
    } catch (error) {
      this.#tell("store", outcomeOf(error), startMs);
      throw error;
    }
  }

  /** Keeps a copy, since what was given is the reader's; not now, but when the reader has been answered. */
  #fill(disk: DiskTier, name: ChunkName, sealed: Uint8Array): void {
    if (this.#fills.length + this.#filling.size >= FILLS_MAX) {
      this.#options.observer?.filled({ tier: "disk", outcome: "failed", sizeBytes: CHUNK_BYTES });
      return;
    }
    this.#fills.push({ name, sealed: copyOf(sealed) });
    if (this.#filling.size >= FILLS_AT_ONCE) return;
    // Nobody waits for it until all is settled, so that a rejection would be nobody's.
    const filling: Promise<void> = this.#writeFills(disk)
      .catch((error: unknown) => {
        this.#bug ??= { error };
      })
      .finally(() => this.#filling.delete(filling));
    this.#filling.add(filling);
  }

  async #writeFills(disk: DiskTier): Promise<void> {
    for (let fill = this.#fills.shift(); fill !== undefined; fill = this.#fills.shift()) {
      const outcome = await disk.put(fill.name, fill.sealed);
      this.#options.observer?.filled({ tier: "disk", outcome, sizeBytes: CHUNK_BYTES });
    }
  }

  /** Where nobody counts, no clock is read. */
  #startMs(): number {
    return this.#options.observer === undefined ? 0 : performance.now();
  }

  #tell(tier: TierName, outcome: LookupOutcome, startMs: number): void {
    const { observer } = this.#options;
    if (observer === undefined) return;
    const seconds = (performance.now() - startMs) / 1000;
    const sizeBytes = outcome === "hit" ? CHUNK_BYTES : 0;
    observer.looked({ tier, outcome, seconds, sizeBytes });
  }
}

function outcomeOf(error: unknown): LookupOutcome {
  if (isLambdaImgError(error, "CHUNK_NOT_FOUND")) return "miss";
  return isLambdaImgError(error, "CHUNK_CORRUPT") ? "corrupt" : "failed";
}
