// ⚡ uses: time
/**
 * Seals chunks in threads. Hashing twice, encrypting and writing cost about as much as inflating does, so on two
 * cores one thread of it beside the main one keeps both busy (docs/architecture.md, "Threads").
 */
import { setImmediate } from "node:timers/promises";

import { digestAlgorithm } from "../base/digest.ts";
import { threadIfGiven } from "../base/thread.ts";
import type { Salt } from "../crypto/salt.ts";
import { isSmallLayer, type LayerInput } from "../layer/open-layer.ts";
import type { TarHasher } from "../layer/tar-hasher.ts";
import { ChunkWriter, type ChunkWriterPlace } from "../store/chunk-writer.ts";
import type { ChunkSealer, StoredChunk } from "./chunk-sealer.ts";
import { sealAndPut } from "./_seal-and-put.ts";
import type { SealingStart } from "./_sealing-message.ts";
import { SealingThread } from "./_sealing-thread.ts";
import type { SpareThread } from "./spare-thread.ts";

/** Chunks that wait at one thread: enough that it never idles, few enough that memory stays flat. */
const QUEUE_A_THREAD = 4;
/** And besides: a thread takes some 40 ms to start, and the main one need not stand still for that. */
const QUEUE_AT_START = 12;

/**
 * A pool of sealing threads. The first is the spare one, or starts with the first chunk; another one starts when the queue is full and
 * none is starting, so that there are as many as keep up with what comes: each takes some 12 MiB. A chunk that would have to wait at
 * the end of a full queue is sealed in the calling thread, which would wait as well.
 */
export class WorkerSealer implements ChunkSealer {
  readonly #start: SealingStart;
  readonly #use: { readonly salt: Salt; readonly writer: ChunkWriter };
  #threadsMax: number;
  readonly #spare: SpareThread | undefined;
  readonly #threads: SealingThread[] = [];

  /** `spare` becomes the first thread, when one is needed. */
  constructor(threadsMax: number, salt: Salt, place: ChunkWriterPlace, spare?: SpareThread) {
    this.#threadsMax = threadsMax;
    this.#spare = spare;
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

  /** As OpenLayerOptions.hashTar: the first thread does it, beside its chunks. */
  hashTar(layer: LayerInput["descriptor"]): TarHasher | undefined {
    if (isSmallLayer(layer)) return undefined;
    const thread = this.#threads[0] ?? this.#startThread();
    return thread?.hashing.begin(digestAlgorithm(layer.diffId));
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
    const thread = this.#spare?.take() ?? threadIfGiven(() => new SealingThread());
    if (thread === undefined) {
      this.#threadsMax = this.#threads.length; // Fewer come to the same result.
      return undefined;
    }
    thread.begin(this.#start);
    this.#threads.push(thread);
    return thread;
  }
}
