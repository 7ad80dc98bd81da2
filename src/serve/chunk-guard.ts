/**
 * Stands between a device and the store: a load of a chunk ends by a deadline, failures are told once and counted,
 * and, if so wished, a load is tried until it works.
 */
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { NbdTimers } from "../nbd/export.ts";

/** Loads that are under way at a time, of all images: each holds a chunk twice, sealed and plain. */
const LOADS_AT_ONCE_MAX = 16;
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

/** Numbers since the start. */
export interface ChunkCounts {
  /** Loads that worked. */
  readonly loaded: number;
  /** Tries that failed, deadlines included. */
  readonly failed: number;
  /** Chunks whose last try failed. */
  readonly failing: number;
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
  /** What ends a try, or a pause, with an error. */
  readonly #tries: Set<(error: LambdaImgError) => void> = new Set();
  readonly #pauses: Set<(error: LambdaImgError) => void> = new Set();
  readonly #failing: Set<string> = new Set();
  #isFailingMany = false;
  #loaded = 0;
  #failed = 0;
  #isStopped = false;

  constructor(options: ChunkGuardOptions) {
    this.#options = options;
  }

  get counts(): ChunkCounts {
    return { loaded: this.#loaded, failed: this.#failed, failing: this.#failing.size };
  }

  /** True while a load has been begun that the store has not answered. */
  get isWaitingForStore(): boolean {
    return this.#running.size > 0;
  }

  /** The guard of one image's device (ImageDeviceOptions). */
  forImage(image: string): (chunkIndex: number, load: () => Promise<Uint8Array>) => Promise<Uint8Array> {
    return (chunkIndex, load) => this.#guard({ image, chunkIndex, key: `${chunkIndex} ${image}` }, load);
  }

  /**
   * Tries no more: pauses end at once, and what the store has not given after `graceMs` fails, both with CANCELLED.
   * What it returns calls the time of grace off, once nothing waits any more.
   */
  stop({ graceMs }: { readonly graceMs: number }): () => void {
    this.#isStopped = true;
    for (const end of [...this.#pauses]) end(stopped());
    return this.#options.timers.start(graceMs, () => {
      for (const end of [...this.#tries]) end(stopped());
    });
  }

  async #guard(place: Place, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      try {
        const plain = await this.#try(place, load);
        this.#noteSuccess(place);
        return plain;
      } catch (error) {
        this.#noteFailure(place, error);
        // Whatever is not a failure of the store is a bug of ours: to repeat it would hide it.
        const isLasting = this.#options.onError === "eio" || !isLambdaImgError(error);
        if (isLasting || this.#isStopped) throw error;
      }
      await this.#pause(pauseMs);
    }
  }

  #try(place: Place, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
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
      const end = (): void => {
        cancel();
        this.#queue.delete(begin);
        this.#tries.delete(fail);
      };
      this.#tries.add(fail);
      if (this.#running.has(place.key) || this.#running.size < LOADS_AT_ONCE_MAX) begin();
      else this.#queue.add(begin);
    });
  }

  /** The load of the place that is under way, or a new one. */
  #run(key: string, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const found = this.#running.get(key);
    if (found !== undefined) return found;
    const running = load().finally(() => {
      this.#running.delete(key);
      for (const begin of this.#queue) {
        this.#queue.delete(begin);
        begin();
        if (this.#running.size >= LOADS_AT_ONCE_MAX) break;
      }
    });
    this.#running.set(key, running);
    return running;
  }

  #pause(pauseMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: LambdaImgError): void => {
        cancel();
        this.#pauses.delete(fail);
        reject(error);
      };
      const cancel = this.#options.timers.start(pauseMs, () => {
        this.#pauses.delete(fail);
        resolve();
      });
      this.#pauses.add(fail);
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
