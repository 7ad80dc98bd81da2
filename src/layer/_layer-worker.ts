// ⚡ uses: worker
/** The program of a layer's thread: verifies and decompresses layers, one after another. */
import { parentPort } from "node:worker_threads";

import { threadHasStarted } from "../base/compile-later.ts";
import { definite, isLambdaImgError, LambdaImgError, toPlainError } from "../base/error.ts";
import { RoomFiller, Rooms } from "../base/rooms.ts";
import {
  movedWith,
  OUTPUT_ROOMS,
  ROOM_BYTES,
  type FromLayerThread,
  type ToLayerThread,
} from "./_layer-message.ts";
import { openLayer } from "./open-layer.ts";

type Opening = Extract<ToLayerThread, { readonly kind: "open" }>;
type Input = Extract<ToLayerThread, { readonly kind: "input" | "input-end" | "input-failed" }>;

const port = definite(parentPort, "this file runs in a worker thread");
threadHasStarted();
const inputs: Input[] = [];
const rooms = new Rooms(ROOM_BYTES, OUTPUT_ROOMS);
let wake: (() => void) | undefined;

// Both ends are ours: what comes is what _layer-thread.ts sends.
port.on("message", (message: ToLayerThread) => {
  if (message.kind === "open") {
    void readLayer(message);
  } else if (message.kind === "free") {
    rooms.giveBack(message.room);
  } else {
    inputs.push(message);
    wake?.();
  }
});

/** Never rejects, but for a bug: then the thread ends with an "error" event. */
async function readLayer({ layer, layerBytesMax }: Opening): Promise<void> {
  try {
    const output = new RoomFiller(rooms, (room, sizeBytes) => {
      say({ kind: "output", room, sizeBytes });
    });
    const pieces = openLayer({ descriptor: layer, bytes: inputBytes() }, { layerBytesMax });
    for await (const piece of pieces) await output.write(piece);
    output.flush();
    say({ kind: "done" });
  } catch (error) {
    if (!isLambdaImgError(error)) throw error;
    say({ kind: "failed", ...toPlainError(error) });
  }
}

/** Stored bytes, lent. A room is full unless it is the last, so nobody needs two of them to see how they begin. */
async function* inputBytes(): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const input = await nextInput();
    if (input.kind === "input-end") return;
    if (input.kind === "input-failed") throw new LambdaImgError("CANCELLED", "the source has failed");
    yield input.room.subarray(0, input.sizeBytes);
    say({ kind: "taken", room: input.room });
  }
}

/** The first of the queue, once there is one. */
async function nextInput(): Promise<Input> {
  for (;;) {
    const first = inputs.shift();
    if (first !== undefined) return first;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

function say(message: FromLayerThread): void {
  port.postMessage(message, movedWith(message));
}
