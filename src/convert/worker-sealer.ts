// ⚡ uses: time, worker
/**
 * Seals chunks in threads. Hashing twice, encrypting and writing cost about as much as inflating does, so on two
 * cores one thread of it beside the main one keeps both busy (docs/architecture.md, "Threads").
 */
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { definite, fromPlainError } from "../base/error.ts";
import { threadIfGiven } from "../base/thread.ts";
import type { Salt } from "../crypto/salt.ts";
import { ChunkWriter, type ChunkWriterPlace } from "../store/chunk-writer.ts";
import type { ChunkSealer, StoredChunk } from "./chunk-sealer.ts";
import { sealAndPut } from "./_seal-and-put.ts";
import type { SealingReply, SealingStart } from "./_sealing-message.ts";

/** Chunks that wait at one thread: enough that it never idles, few enough that memory stays flat. */
const QUEUE_A_THREAD = 4;
/** And besides: a thread takes some 40 ms to start, and the main one need not stand still for that. */
const QUEUE_AT_START = 12;

interface Waiting {
  resolve(chunk: StoredChunk): void;
  reject(error: unknown): void;
}

/**
 * A pool of sealing threads. The first starts with the first chunk; another one when the queue is full and none is starting, so
 * that there are as many as keep up with what comes: each takes some 12 MiB. A chunk that would have to wait at the end of a full
 * queue is sealed in the calling thread, which would wait as well.
 */
export class WorkerSealer implements ChunkSealer {
  readonly #start: SealingStart;
  readonly #use: { readonly salt: Salt; readonly writer: ChunkWriter };
  #threadsMax: number;
  readonly #threads: SealingThread[] = [];

  constructor(threadsMax: number, salt: Salt, place: ChunkWriterPlace) {
    this.#threadsMax = threadsMax;
    this.#start = { salt, place };
    this.#use = { salt, writer: new ChunkWriter(place) };
  }

  /** Grows with the threads. */
  get depth(): number {
    return Math.max(1, this.#threads.length) * QUEUE_A_THREAD + QUEUE_AT_START;
  }

  seal(plain: Uint8Array): Promise<StoredChunk> {
    const queued = this.#threads.reduce((sum, thread) => sum + thread.queued, 0);
    const hasRoom = this.#threads.length > 0 && queued < this.depth - 1;
    const thread = hasRoom ? this.#leastBusy() : this.#startThread();
    return thread === undefined ? this.#sealHere(plain) : thread.seal(plain);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
  }

  async #sealHere(plain: Uint8Array): Promise<StoredChunk> {
    const chunk = await sealAndPut(plain, this.#use);
    // What the threads have answered meanwhile must be heard, or everything would be sealed here from now on.
    await setImmediate();
    return chunk;
  }

  #leastBusy(): SealingThread {
    return this.#threads.reduce((best, thread) => (thread.queued < best.queued ? thread : best));
  }

  /** `undefined` where there may be no more, or one is starting, or the system gives none. */
  #startThread(): SealingThread | undefined {
    if (this.#threads.length >= this.#threadsMax || this.#threads.some((thread) => thread.isStarting)) {
      return undefined;
    }
    const thread = threadIfGiven(() => new SealingThread(this.#start));
    if (thread === undefined)
      this.#threadsMax = this.#threads.length; // Fewer come to the same result.
    else this.#threads.push(thread);
    return thread;
  }
}

class SealingThread {
  readonly #worker: Worker;
  /** In the order of the requests: a thread answers in that order. */
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;
  #isStarting = true;

  constructor(start: SealingStart) {
    this.#worker = new Worker(new URL("./sealing-worker.js", import.meta.url), { workerData: start });
    this.#worker.on("online", () => {
      this.#isStarting = false;
    });
    this.#worker.on("message", (reply: SealingReply) => {
      this.#settle(reply);
    });
    this.#worker.on("error", (error) => {
      this.#fail(error);
    });
    this.#worker.on("exit", (code) => {
      this.#fail(new Error(`a sealing thread ended with ${code}`));
    });
  }

  get queued(): number {
    return this.#waiting.length;
  }

  get isStarting(): boolean {
    return this.#isStarting;
  }

  seal(plain: Uint8Array): Promise<StoredChunk> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage({ plain }, [plain.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: SealingReply): void {
    const waiting = definite(this.#waiting.shift(), "a thread answers what it was asked");
    if (reply.kind === "stored") waiting.resolve(reply);
    else waiting.reject(fromPlainError(reply));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }
}
