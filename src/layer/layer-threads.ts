/**
 * Opens layers in threads, so that inflating and hashing one leaves the thread that parses and copies alone
 * (docs/architecture.md, "Threads").
 */
import { threadIfGiven } from "../base/thread.ts";
import { LayerThread } from "./_layer-thread.ts";
import { isSmallLayer, openLayer, type LayerInput, type OpenLayerOptions } from "./open-layer.ts";

/** As many threads as large layers are read at a time; each starts with the first that needs it, and is used again. */
export class LayerThreads {
  readonly #idle: LayerThread[] = [];
  /** Of layers that were given up: each until its source is closed. */
  readonly #closing: Set<Promise<void>> = new Set();

  /**
   * As openLayer, and byte for byte the same. A source that stalls while its layer is given up is closed when it goes on
   * or is cancelled.
   */
  async *open(stream: LayerInput, options: OpenLayerOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const isSmall = isSmallLayer(stream.descriptor);
    const thread = isSmall ? undefined : (this.#idleThread() ?? threadIfGiven(() => new LayerThread()));
    if (thread === undefined) {
      yield* openLayer(stream, options);
      return;
    }
    try {
      yield* thread.read(stream, options);
    } finally {
      if (thread.isIdle) this.#idle.push(thread);
      else await this.#giveUp(thread);
    }
  }

  /** Ends the threads, and waits for sources to close. Call it when no layer is open, and every source ends or is cancelled. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((thread) => thread.close()));
    await Promise.all(this.#closing);
  }

  #idleThread(): LayerThread | undefined {
    for (;;) {
      const thread = this.#idle.pop();
      if (thread === undefined || thread.isIdle) return thread;
    }
  }

  async #giveUp(thread: LayerThread): Promise<void> {
    const closing = thread.supplied.finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    await thread.close();
  }
}
