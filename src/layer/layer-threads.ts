/**
 * Opens layers in threads, so that inflating and hashing one leaves the thread that parses and copies alone
 * (docs/architecture.md, "Threads").
 */
import { MIB } from "../base/units.ts";
import { LayerThread } from "./_layer-thread.ts";
import { openLayer, type LayerInput, type OpenLayerOptions } from "./open-layer.ts";

/** A layer of fewer stored bytes is read before a thread has started. */
const SMALL_LAYER_BYTES = 4 * MIB;

/** As many threads as large layers are read at a time; each starts with the first that needs it, and is used again. */
export class LayerThreads {
  readonly #idle: LayerThread[] = [];

  /** As openLayer, and byte for byte the same. */
  async *open(stream: LayerInput, options: OpenLayerOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const { stored } = stream.descriptor;
    if (stored !== undefined && stored.sizeBytes < SMALL_LAYER_BYTES) {
      yield* openLayer(stream, options);
      return;
    }
    const thread = this.#idle.pop() ?? new LayerThread();
    try {
      yield* thread.read(stream, options);
    } finally {
      if (thread.isIdle) this.#idle.push(thread);
      else await thread.close();
    }
  }

  /** Ends the threads. Call it when no layer is open. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((thread) => thread.close()));
  }
}
