// ⚡ uses: worker
/** The program of a layer's thread: verifies and decompresses layers, one after another. */
import { parentPort, workerData } from "node:worker_threads";

import { definite, isLambdaImgError, LambdaImgError, toPlainError } from "../base/error.ts";
import {
  INPUT_SLOTS,
  OUTPUT_SLOTS,
  SLOT_BYTES,
  slotOf,
  type FromLayerThread,
  type LayerThreadStart,
  type ToLayerThread,
} from "./_layer-message.ts";
import { openLayer } from "./open-layer.ts";

type Opening = Extract<ToLayerThread, { readonly kind: "open" }>;
type Input = Extract<ToLayerThread, { readonly kind: "input" | "input-end" | "input-failed" }>;

const port = definite(parentPort, "this file runs in a worker thread");
// Both ends are ours: what comes is what _layer-thread.ts sends.
const { memory } = workerData as LayerThreadStart;

const inputs: Input[] = [];
const freeSlots: number[] = Array.from({ length: OUTPUT_SLOTS }, (_, index) => INPUT_SLOTS + index);
let wake: (() => void) | undefined;

port.on("message", (message: ToLayerThread) => {
  if (message.kind === "open") void readLayer(message);
  else if (message.kind === "free") freeSlots.push(message.slot);
  else inputs.push(message);
  wake?.();
});

/** Never rejects, but for a bug: then the thread ends with an "error" event. */
async function readLayer({ layer, layerBytesMax }: Opening): Promise<void> {
  try {
    const output = new Output();
    const pieces = openLayer({ descriptor: layer, bytes: inputBytes() }, { layerBytesMax });
    for await (const piece of pieces) await output.write(piece);
    output.flush();
    say({ kind: "done" });
  } catch (error) {
    if (!isLambdaImgError(error)) throw error;
    say({ kind: "failed", ...toPlainError(error) });
  }
}

/** Stored bytes, lent. A slot is full unless it is the last, so nobody needs two of them to see how they begin. */
async function* inputBytes(): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const input = await taken(inputs);
    if (input.kind === "input-end") return;
    if (input.kind === "input-failed") throw new LambdaImgError("CANCELLED", "the source has failed");
    yield slotOf(memory, input.slot).subarray(0, input.sizeBytes);
    say({ kind: "taken", slot: input.slot });
  }
}

/** Gathers pieces of the tar in slots. */
class Output {
  #slot: number | undefined;
  #fillBytes = 0;

  async write(piece: Uint8Array): Promise<void> {
    for (let rest = piece; rest.length > 0;) {
      this.#slot ??= await taken(freeSlots);
      const part = rest.subarray(0, SLOT_BYTES - this.#fillBytes);
      slotOf(memory, this.#slot).set(part, this.#fillBytes);
      this.#fillBytes += part.length;
      rest = rest.subarray(part.length);
      if (this.#fillBytes === SLOT_BYTES) this.flush();
    }
  }

  flush(): void {
    if (this.#slot === undefined) return;
    say({ kind: "output", slot: this.#slot, sizeBytes: this.#fillBytes });
    this.#slot = undefined;
    this.#fillBytes = 0;
  }
}

/** The first of the queue, once there is one. */
async function taken<T>(queue: T[]): Promise<T> {
  for (;;) {
    const first = queue.shift();
    if (first !== undefined) return first;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

function say(message: FromLayerThread): void {
  port.postMessage(message);
}
