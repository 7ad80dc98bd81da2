/**
 * Brings chunks nearer before they are asked for: those of a trace, in its order, and those that follow what is read.
 * docs/cache.md, "Prefetch".
 */
import { findChunk, type ChunkTable } from "../manifest/manifest.ts";

/** Loads that one image has under way, or waiting for their turn (chunk-guard.ts has how soon that comes). */
const LOADS_AT_ONCE = 16;
/** Chunks that are to be primed, at most; of more, the oldest wishes are forgotten. */
const WISHES_MAX = 256;

/** What is read ahead, and how far. */
export interface ReadAheadOptions {
  readonly table: ChunkTable;
  /** Opens a chunk where it is not open. A failure is its own affair: whoever reads the chunk meets it anew. */
  readonly load: (chunkIndex: number) => Promise<void>;
  /** Chunks of a trace that may be ahead of those that were read: what there is room for. */
  readonly reachChunks: number;
  /** Chunks of the table after each that is read; 0 for none. */
  readonly primeChunks: number;
}

/** Reads ahead for one image. */
export class ReadAhead {
  readonly #options: ReadAheadOptions;
  #trace: readonly number[] = [];
  /** Places in the trace, by chunk index. */
  readonly #places: Map<number, number> = new Map();
  /** The place in the trace of what is loaded next. */
  #next = 0;
  /** The first place in the trace behind all chunks that were read. */
  #readEnd = 0;
  /** Chunks that follow what was read, in the order of the wishes. */
  readonly #wishes: Set<number> = new Set();
  #loadCount = 0;
  #isStopped = false;

  constructor(options: ReadAheadOptions) {
    this.#options = options;
  }

  /** Reads ahead again after a stop, without a trace so far. */
  start(): void {
    this.#isStopped = false;
  }

  /** Begins to replay a trace, in place of any other. */
  replay(trace: readonly number[]): void {
    this.stop();
    this.start();
    this.#trace = trace;
    for (const [place, chunkIndex] of trace.entries()) this.#places.set(chunkIndex, place);
    this.#pump();
  }

  /** A chunk is being read. */
  visited(chunkIndex: number): void {
    if (this.#isStopped) return; // A read that the last client has left behind.
    if (this.#trace.length === 0 && this.#options.primeChunks === 0) return;
    const place = this.#places.get(chunkIndex);
    if (place !== undefined && place >= this.#readEnd) {
      this.#readEnd = place + 1;
      // Where reads overtake the replay, what they have passed is late: they will not wait for it.
      this.#next = Math.max(this.#next, this.#readEnd);
    }
    this.#wish(chunkIndex);
    // Not before the read itself has begun.
    queueMicrotask(() => {
      this.#pump();
    });
  }

  /** Loads nothing more, until it is started or a trace is replayed; what is under way ends by itself. */
  stop(): void {
    this.#isStopped = true;
    this.#trace = [];
    this.#places.clear();
    this.#next = 0;
    this.#readEnd = 0;
    this.#wishes.clear();
  }

  #wish(chunkIndex: number): void {
    const { table, primeChunks } = this.#options;
    const position = findChunk(table, chunkIndex);
    for (const following of table.indexes.subarray(position + 1, position + 1 + primeChunks)) {
      this.#wishes.add(following);
      if (this.#wishes.size > WISHES_MAX) this.#wishes.delete(firstOf(this.#wishes) ?? following);
    }
  }

  #pump(): void {
    while (this.#loadCount < LOADS_AT_ONCE) {
      const chunkIndex = this.#take();
      if (chunkIndex === undefined) return;
      this.#loadCount++;
      this.#options
        .load(chunkIndex)
        .catch(() => undefined) // As `load` says.
        .finally(() => {
          this.#loadCount--;
          this.#pump();
        });
    }
  }

  #take(): number | undefined {
    const wish = firstOf(this.#wishes);
    if (wish !== undefined) {
      this.#wishes.delete(wish);
      return wish;
    }
    if (this.#next >= this.#readEnd + this.#options.reachChunks) return undefined;
    return this.#trace[this.#next++];
  }
}

function firstOf(items: ReadonlySet<number>): number | undefined {
  for (const item of items) return item;
  return undefined;
}
