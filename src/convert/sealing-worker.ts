// ⚡ uses: worker
/** The program of a sealing thread: seals what it is sent and writes it into the store. */
import { parentPort, workerData } from "node:worker_threads";

import { definite, isLambdaImgError, toPlainError } from "../base/error.ts";
import type { Salt } from "../crypto/salt.ts";
import { ChunkWriter } from "../store/chunk-writer.ts";
import { sealAndPut } from "./_seal-and-put.ts";
import type { SealingReply, SealingRequest, SealingStart } from "./_sealing-message.ts";

const port = definite(parentPort, "this file runs in a worker thread");
// Both ends are ours: what comes is what worker-sealer.ts sends.
const start = workerData as SealingStart;
const writer = new ChunkWriter(start.place);

/** Chunks under way at once: while some are written, one more is sealed. */
const CHUNKS_AT_ONCE = 4;

const waiting: Uint8Array[] = [];
let underWay = 0;
/** The last answer: answers go out in the order of the requests. */
let answered = Promise.resolve();

port.on("message", ({ plain }: SealingRequest) => {
  waiting.push(plain);
  sealWaiting();
});

function sealWaiting(): void {
  while (underWay < CHUNKS_AT_ONCE) {
    const plain = waiting.shift();
    if (plain === undefined) return;
    underWay++;
    const sealing = seal(plain).finally(() => {
      underWay--;
      sealWaiting();
    });
    answered = answered.then(async () => {
      const reply = await sealing;
      port.postMessage(reply, reply.kind === "stored" ? [plain.buffer as ArrayBuffer] : []);
    });
  }
}

async function seal(plain: Uint8Array): Promise<SealingReply> {
  try {
    return { kind: "stored", ...(await sealAndPut(plain, { salt: start.salt as Salt, writer })) };
  } catch (error) {
    if (!isLambdaImgError(error)) throw error; // A bug: it reaches the pool as the thread's "error" event.
    return { kind: "failed", ...toPlainError(error) };
  }
}
