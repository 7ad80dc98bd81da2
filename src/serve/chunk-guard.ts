/**
 * Stands between a device and the store: a load of a chunk ends by a deadline, failures are told once and counted,
 * and, if so wished, a load is tried until it works.
 */
import { cancelled } from "../base/cancel.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { ChunkLoad, GuardLoad, LoadPurpose } from "../device/image-device.ts";
import type { NbdTimers } from "../nbd/export.ts";

/** Loads that are under way at a time, of all images: each holds a chunk twice, sealed and plain. */
const LOADS_AT_ONCE_MAX = 16;
/** Besides these, loads of chunks that nobody waits for yet. They never take the turn of one that somebody waits for. */
const LOADS_AHEAD_MAX = 16;
/** They begin one after another, or this long after each other where the store is slow: 16 for a store 32 ms away. */
const AHEAD_STEP_MS = 2;
/**
 * And so long after a load that somebody waits for has begun or ended: a fast store keeps the processor busy, and what
 * is asked for shall not wait for the digest and cipher of what is not. A slow one leaves time enough.
 */
const AHEAD_PAUSE_MS = 2;
/** Chunks that are remembered as failing; of more than these nobody is told one by one. */
const FAILING_CHUNKS_MAX = 10_000;
/** The pause before a load is tried again, doubled each time. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 10_000;

/** What happened to a chunk. */
export interface ChunkEvent {
  readonly kind: "failed" | "recovered" | "failing-many";
  readonly image: string;
  readonly chunkIndex: number;
  /** Of `failed`. */
  readonly error?: unknown;
}

/** How loads are guarded. */
export interface ChunkGuardOptions {
  /** Milliseconds after which one try fails, the wait for its turn included. */
  readonly timeoutMs: number;
  /** Whether a read whose load has failed fails too, or waits until a load works. */
  readonly onError: "eio" | "block";
  /** Told of a chunk that begins to fail, once, and of one that is well again. Must not throw. */
  readonly onEvent: (event: ChunkEvent) => void;
  readonly timers: NbdTimers;
}

/** Numbers of loads: since the start, and now. */
export interface ChunkCounts {
  /** Loads that worked. */
  readonly loaded: number;
  /** Tries that failed, deadlines included. */
  readonly failed: number;
  /** Chunks whose last try failed. */
  readonly failing: number;
  /** Loads that were begun and have not ended, also those that nobody waits for, or not any more. */
  readonly running: number;
  /** Tries that wait for their turn. What is read ahead is not among them: it waits to be out of the way. */
  readonly waiting: number;
}

interface Place {
  readonly image: string;
  readonly chunkIndex: number;
  readonly key: string;
}

/** Guards the loads of all images of a server. */
export class ChunkGuard {
  readonly #options: ChunkGuardOptions;
  /** Loads under way, by place. One that hangs stays here, and later tries wait for it rather than start another. */
  readonly #running: Map<string, Promise<Uint8Array>> = new Map();
  /** Tries that wait for their turn, in order. */
  readonly #queue: Set<() => void> = new Set();
  /** As `#running` and `#queue`, of chunks that nobody waits for. */
  readonly #ahead: Map<string, Promise<Uint8Array>> = new Map();
  readonly #aheadQueue: Set<() => void> = new Set();
  /** What has just happened, so that the next of them does not begin yet. */
  #aheadHold: { readonly purpose: LoadPurpose; readonly end: () => void } | undefined;
  /** What ends a try, or a pause, with an error. */
  readonly #tries: Set<(error: LambdaImgError) => void> = new Set();
  readonly #pauses: Set<(error: LambdaImgError) => void> = new Set();
  readonly #failing: Set<string> = new Set();
  #isFailingMany = false;
  #loaded = 0;
  #failed = 0;
  #isStopped = false;
  #isGraceOver = false;
  /** What waits for the store to have answered everything. */
  readonly #drains: Set<() => void> = new Set();

  constructor(options: ChunkGuardOptions) {
    this.#options = options;
  }

  get counts(): ChunkCounts {
    return {
      loaded: this.#loaded,
      failed: this.#failed,
      failing: this.#failing.size,
      running: this.#running.size + this.#ahead.size,
      waiting: this.#queue.size,
    };
  }

  /** True while a load has been begun that the store has not answered. */
  get isWaitingForStore(): boolean {
    return this.#running.size + this.#ahead.size > 0;
  }

  /** The guard of one image's device (ImageDeviceOptions). */
  forImage(image: string): GuardLoad {
    return (chunkIndex, load, purpose = "read", signal) => {
      const place = { image, chunkIndex, key: `${chunkIndex} ${image}` };
      return purpose === "read" ? this.#guard(place, load, signal) : this.#loadAhead(place, load);
    };
  }

  /**
   * Tries no more: pauses end at once, and what the store has not given after `graceMs` fails, both with CANCELLED.
   * What it returns calls the time of grace off, once nothing waits any more.
   */
  stop({ graceMs }: { readonly graceMs: number }): () => void {
    this.#isStopped = true;
    for (const end of [...this.#pauses]) end(stopped());
    this.#aheadHold?.end();
    for (const end of [...this.#aheadQueue]) end();
    return this.#options.timers.start(graceMs, () => {
      this.#isGraceOver = true;
      for (const end of [...this.#tries]) end(stopped());
      for (const end of [...this.#drains]) end();
    });
  }

  /** Resolves when the store has answered all loads, or when the time of grace of `stop` is over. */
  async drain(): Promise<void> {
    while (this.isWaitingForStore && !this.#isGraceOver) {
      await new Promise<void>((resolve) => {
        const end = (): void => {
          this.#drains.delete(end);
          resolve();
        };
        this.#drains.add(end);
      });
    }
  }

  async #guard(place: Place, load: ChunkLoad, signal: AbortSignal | undefined): Promise<Uint8Array> {
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      try {
        const plain = await this.#try(place, load, signal);
        this.#noteSuccess(place);
        return plain;
      } catch (error) {
        this.#noteFailure(place, error);
        // Whatever is not a failure of the store is a bug of ours: to repeat it would hide it.
        const isLasting = this.#options.onError === "eio" || !isLambdaImgError(error);
        if (isLasting || this.#isStopped || signal?.aborted === true) throw error;
      }
      await this.#pause(pauseMs, signal);
    }
  }

  /**
   * One try without a deadline, since nobody waits for it. A failure is not told of: a read that needs the chunk tries
   * anew.
   */
  async #loadAhead({ key }: Place, load: ChunkLoad): Promise<Uint8Array> {
    if (this.#running.size > 0 && this.#aheadQueue.size === 0) this.#holdAhead("read", AHEAD_PAUSE_MS);
    while (!this.#mayBeginAhead && !this.#isStopped) {
      await new Promise<void>((resolve) => this.#aheadQueue.add(resolve));
    }
    try {
      if (this.#isStopped) throw stopped();
      const found = this.#running.get(key) ?? this.#ahead.get(key);
      if (found === undefined) return await this.#beginAhead(key, load);
      this.#wakeAhead();
      return await found;
    } finally {
      this.#wakeAhead();
    }
  }

  get #mayBeginAhead(): boolean {
    const hold = this.#aheadHold?.purpose;
    return hold === undefined
      ? this.#ahead.size < LOADS_AHEAD_MAX
      : hold === "ahead" && this.#ahead.size === 0;
  }

  #beginAhead(key: string, load: ChunkLoad): Promise<Uint8Array> {
    const running = load().finally(() => {
      this.#ahead.delete(key);
      for (const end of [...this.#drains]) end();
    });
    this.#ahead.set(key, running);
    this.#holdAhead("ahead", AHEAD_STEP_MS);
    return running;
  }

  #holdAhead(purpose: LoadPurpose, delayMs: number): void {
    if (this.#isStopped) return;
    this.#aheadHold?.end();
    const end = this.#options.timers.start(delayMs, () => {
      this.#aheadHold = undefined;
      this.#wakeAhead();
    });
    this.#aheadHold = { purpose, end };
  }

  /** A load that somebody waits for has begun or ended. */
  #noteRead(): void {
    if (this.#aheadQueue.size + this.#ahead.size > 0) this.#holdAhead("read", AHEAD_PAUSE_MS);
  }

  #wakeAhead(): void {
    const [next] = this.#aheadQueue;
    if (next === undefined || !this.#mayBeginAhead) return;
    this.#aheadQueue.delete(next);
    next();
  }

  #try(place: Place, load: ChunkLoad, signal: AbortSignal | undefined): Promise<Uint8Array> {
    // A read of many chunks goes on with its others, of which each would wait for its own deadline.
    if (this.#isGraceOver) return Promise.reject(stopped());
    const { timeoutMs } = this.#options;
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        this.#run(place.key, load).then(resolve, reject).finally(end);
      };
      const fail = (error: LambdaImgError): void => {
        end();
        reject(error);
      };
      const cancel = this.#options.timers.start(timeoutMs, () => {
        fail(tooSlow(place.chunkIndex, timeoutMs));
      });
      const leave = (): void => {
        fail(cancelled());
      };
      const end = (): void => {
        cancel();
        this.#queue.delete(begin);
        this.#tries.delete(fail);
        signal?.removeEventListener("abort", leave);
      };
      this.#tries.add(fail);
      signal?.addEventListener("abort", leave);
      const isShared = this.#running.has(place.key) || this.#ahead.has(place.key);
      if (isShared || this.#running.size < LOADS_AT_ONCE_MAX) begin();
      else this.#queue.add(begin);
    });
  }

  /** The load of the place that is under way, or a new one. */
  #run(key: string, load: ChunkLoad): Promise<Uint8Array> {
    const found = this.#running.get(key);
    if (found !== undefined) return found;
    // Where a load that nobody waited for fails, this one is not the worse for it.
    const ahead = this.#ahead.get(key);
    if (ahead !== undefined) return ahead.catch(() => this.#run(key, load));
    this.#noteRead();
    const running = load().finally(() => {
      this.#running.delete(key);
      this.#noteRead();
      for (const end of [...this.#drains]) end();
      for (const begin of this.#queue) {
        this.#queue.delete(begin);
        begin();
        if (this.#running.size >= LOADS_AT_ONCE_MAX) break;
      }
    });
    this.#running.set(key, running);
    return running;
  }

  #pause(pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        cancel();
        this.#pauses.delete(fail);
        signal?.removeEventListener("abort", leave);
      };
      const fail = (error: LambdaImgError): void => {
        end();
        reject(error);
      };
      const leave = (): void => {
        fail(cancelled());
      };
      const cancel = this.#options.timers.start(pauseMs, () => {
        end();
        resolve();
      });
      this.#pauses.add(fail);
      signal?.addEventListener("abort", leave);
    });
  }

  #noteSuccess({ image, chunkIndex, key }: Place): void {
    this.#loaded++;
    if (this.#failing.delete(key)) this.#options.onEvent({ kind: "recovered", image, chunkIndex });
  }

  #noteFailure({ image, chunkIndex, key }: Place, error: unknown): void {
    if (isLambdaImgError(error, "CANCELLED")) return;
    this.#failed++;
    if (this.#failing.has(key)) return;
    if (this.#failing.size < FAILING_CHUNKS_MAX) {
      this.#failing.add(key);
      this.#options.onEvent({ kind: "failed", image, chunkIndex, error });
    } else if (!this.#isFailingMany) {
      this.#isFailingMany = true;
      this.#options.onEvent({ kind: "failing-many", image, chunkIndex });
    }
  }
}

function tooSlow(chunkIndex: number, timeoutMs: number): LambdaImgError {
  return new LambdaImgError(
    "STORE_UNAVAILABLE",
    `chunk ${chunkIndex}: the store has not given it: expected at most ${timeoutMs / 1000} s, found more`,
    { details: { chunkIndex, timeoutMs } },
  );
}

function stopped(): LambdaImgError {
  return new LambdaImgError("CANCELLED", "the server is stopping");
}
