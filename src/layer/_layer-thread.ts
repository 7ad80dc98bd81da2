// ⚡ uses: worker
/** A thread that opens layers, as its user sees it. */
import { Worker } from "node:worker_threads";

import { assert, fromPlainError } from "../base/error.ts";
import {
  INPUT_SLOTS,
  OUTPUT_SLOTS,
  SLOT_BYTES,
  slotOf,
  type FromLayerThread,
  type LayerThreadStart,
  type ToLayerThread,
} from "./_layer-message.ts";
import type { LayerInput, OpenLayerOptions } from "./open-layer.ts";

/** What reader and supply of one layer tell each other. */
interface Supply {
  isStopped: boolean;
  failure: { readonly error: unknown } | undefined;
}

/** Runs _layer-worker.ts. */
export class LayerThread {
  readonly #memory = new SharedArrayBuffer((INPUT_SLOTS + OUTPUT_SLOTS) * SLOT_BYTES);
  readonly #worker: Worker;
  readonly #freeInputs: number[] = Array.from({ length: INPUT_SLOTS }, (_, index) => index);
  readonly #answers: FromLayerThread[] = [];
  #state: "idle" | "reading" | "broken" = "idle";
  #supplied: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeSupply: (() => void) | undefined;

  constructor() {
    const start: LayerThreadStart = { memory: this.#memory };
    this.#worker = new Worker(new URL("./_layer-worker.js", import.meta.url), { workerData: start });
    this.#worker.on("message", (message: FromLayerThread) => {
      this.#hear(message);
    });
    this.#worker.on("error", (error) => {
      this.#fail(error);
    });
    this.#worker.on("exit", (code) => {
      this.#fail(new Error(`a layer's thread ended with ${code}`));
    });
  }

  /** True where another layer may be read; false for ever after one that was not read to its end. */
  get isIdle(): boolean {
    return this.#state === "idle" && this.#failure === undefined;
  }

  /** Resolves when the source of the last layer is closed. Never rejects. */
  get supplied(): Promise<void> {
    return this.#supplied;
  }

  /** As openLayer, but a source that is not read to its end may be closed a little later (`supplied`). */
  async *read(
    stream: LayerInput,
    { layerBytesMax }: OpenLayerOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    assert(this.#state === "idle", "a thread reads one layer at a time");
    this.#state = "reading";
    const { diffId, stored, label } = stream.descriptor;
    this.#say({ kind: "open", layer: { diffId, stored, label }, layerBytesMax });
    const supply: Supply = { isStopped: false, failure: undefined };
    this.#supplied = this.#supply(stream.bytes, supply);
    try {
      for (;;) {
        const answer = await this.#nextAnswer();
        if (answer.kind === "output") {
          yield slotOf(this.#memory, answer.slot).subarray(0, answer.sizeBytes);
          this.#say({ kind: "free", slot: answer.slot });
        } else if (answer.kind === "failed") {
          if (supply.failure !== undefined) throw supply.failure.error;
          throw fromPlainError(answer);
        } else if (answer.kind === "done") {
          await this.#supplied;
          this.#state = "idle";
          return;
        }
      }
    } finally {
      if (!this.isIdle) this.#state = "broken";
      // A source that stalls is not waited for: it is the failure told from here that ends it.
      supply.isStopped = true;
      this.#wakeSupply?.();
    }
  }

  async close(): Promise<void> {
    this.#state = "broken";
    await this.#worker.terminate();
  }

  /** Moves the source's bytes into slots, until it ends or it is stopped. Never rejects: what fails is kept. */
  async #supply(bytes: AsyncIterable<Uint8Array>, supply: Supply): Promise<void> {
    const filling: { slot: number | undefined; sizeBytes: number } = { slot: undefined, sizeBytes: 0 };
    try {
      for await (const piece of bytes) {
        for (let rest = piece; rest.length > 0;) {
          filling.slot ??= await this.#freeInput(supply);
          if (filling.slot === undefined) return;
          const part = rest.subarray(0, SLOT_BYTES - filling.sizeBytes);
          slotOf(this.#memory, filling.slot).set(part, filling.sizeBytes);
          filling.sizeBytes += part.length;
          rest = rest.subarray(part.length);
          if (filling.sizeBytes === SLOT_BYTES) this.#give(filling);
        }
        if (supply.isStopped) return;
      }
      this.#give(filling);
      this.#say({ kind: "input-end" });
    } catch (error) {
      supply.failure = { error };
      this.#say({ kind: "input-failed" });
    }
  }

  #give(filling: { slot: number | undefined; sizeBytes: number }): void {
    if (filling.slot === undefined) return;
    this.#say({ kind: "input", slot: filling.slot, sizeBytes: filling.sizeBytes });
    filling.slot = undefined;
    filling.sizeBytes = 0;
  }

  /** `undefined` where there is nobody left to fill it for. */
  async #freeInput(supply: Supply): Promise<number | undefined> {
    while (!supply.isStopped && this.#failure === undefined) {
      const slot = this.#freeInputs.shift();
      if (slot !== undefined) return slot;
      await new Promise<void>((resolve) => {
        this.#wakeSupply = resolve;
      });
    }
    return undefined;
  }

  async #nextAnswer(): Promise<FromLayerThread> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  #hear(message: FromLayerThread): void {
    if (message.kind === "taken") {
      this.#freeInputs.push(message.slot);
      this.#wakeSupply?.();
    } else {
      this.#answers.push(message);
      this.#wakeReader?.();
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeReader?.();
    this.#wakeSupply?.();
  }

  #say(message: ToLayerThread): void {
    this.#worker.postMessage(message);
  }
}
