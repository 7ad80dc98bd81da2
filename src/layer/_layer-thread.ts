// ⚡ uses: worker
/** A thread that opens layers, as its user sees it. */
import type { Worker } from "node:worker_threads";

import { startThread } from "../base/compile-later.ts";
import { assert, fromPlainError } from "../base/error.ts";
import { RoomFiller, Rooms } from "../base/rooms.ts";
import {
  INPUT_ROOMS,
  movedWith,
  ROOM_BYTES,
  type FromLayerThread,
  type ToLayerThread,
} from "./_layer-message.ts";
import type { LayerInput, OpenLayerOptions } from "./open-layer.ts";

/** What the supply of one layer tells its reader. */
interface Supply {
  failure: { readonly error: unknown } | undefined;
}

/** Runs _layer-worker.ts. */
export class LayerThread {
  readonly #worker: Worker;
  readonly #rooms = new Rooms(ROOM_BYTES, INPUT_ROOMS);
  readonly #answers: FromLayerThread[] = [];
  #state: "idle" | "reading" | "broken" = "idle";
  #supplied: Promise<void> = Promise.resolve();
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;

  constructor() {
    this.#worker = startThread(new URL("./_layer-worker.js", import.meta.url));
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
    const supply: Supply = { failure: undefined };
    this.#supplied = this.#supply(stream.bytes, supply);
    try {
      for (;;) {
        const answer = await this.#nextAnswer();
        if (answer.kind === "output") {
          yield answer.room.subarray(0, answer.sizeBytes);
          this.#say({ kind: "free", room: answer.room });
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
      // A source that stalls is not waited for: it is the failure told from here that ends it.
      if (!this.isIdle) {
        this.#state = "broken";
        this.#rooms.fail(new Error("the layer was given up"));
      }
    }
  }

  async close(): Promise<void> {
    this.#state = "broken";
    await this.#worker.terminate();
  }

  /** Moves the source's bytes to the thread, until it ends or the layer is given up. Never rejects: what fails is kept. */
  async #supply(bytes: AsyncIterable<Uint8Array>, supply: Supply): Promise<void> {
    const filler = new RoomFiller(this.#rooms, (room, sizeBytes) => {
      this.#say({ kind: "input", room, sizeBytes });
    });
    try {
      for await (const piece of bytes) {
        await filler.write(piece);
        if (this.#state === "broken") return;
      }
      filler.flush();
      this.#say({ kind: "input-end" });
    } catch (error) {
      supply.failure = { error };
      this.#say({ kind: "input-failed" });
    }
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
      this.#rooms.giveBack(message.room);
    } else {
      this.#answers.push(message);
      this.#wakeReader?.();
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeReader?.();
    this.#rooms.fail(error);
  }

  #say(message: ToLayerThread): void {
    this.#worker.postMessage(message, movedWith(message));
  }
}
