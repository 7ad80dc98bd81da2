// ⚡ uses: worker
/** The program of a sealing thread: seals the chunks it is sent and writes them into the store, and hashes tars. */
import { parentPort } from "node:worker_threads";

import { threadHasStarted } from "../base/compile-later.ts";
import { DigestBuilder } from "../base/digest.ts";
import { definite, isLambdaImgError, toPlainError } from "../base/error.ts";
import type { Salt } from "../crypto/salt.ts";
import { ChunkWriter } from "../store/chunk-writer.ts";
import { sealAndPut } from "./_seal-and-put.ts";
import type { HashingRequest, SealingReply, SealingRequest } from "./_sealing-message.ts";

const port = definite(parentPort, "this file runs in a worker thread");
threadHasStarted();
/** What to seal with, once that is known. */
let use: { readonly salt: Salt; readonly writer: ChunkWriter } | undefined;

/** Chunks under way at once: while some are written, one more is sealed. */
const CHUNKS_AT_ONCE = 4;

const waiting: Uint8Array[] = [];
let underWay = 0;
/** The last answer: answers go out in the order of the requests. */
let answered = Promise.resolve();

/** Of tars, by their numbers. */
const hashers = new Map<number, DigestBuilder>();

// Both ends are ours: what comes is what _sealing-thread.ts sends.
port.on("message", (request: SealingRequest) => {
  if (request.kind === "start") {
    use = { salt: request.salt as Salt, writer: new ChunkWriter(request.place) };
  } else if (request.kind === "seal") {
    waiting.push(request.plain);
    sealWaiting();
  } else {
    hash(request);
  }
});

function hash(request: HashingRequest): void {
  const { tar } = request;
  if (request.kind === "forget") {
    hashers.delete(tar);
    return;
  }
  const hasher = hashers.get(tar) ?? new DigestBuilder(request.algorithm);
  if (request.kind === "hash") {
    const { bytes } = request;
    hashers.set(tar, hasher);
    hasher.update(bytes);
    if (bytes.buffer instanceof SharedArrayBuffer) {
      say({ kind: "hashed" });
    } else {
      const room = new Uint8Array(bytes.buffer);
      say({ kind: "hashed", room }, room);
    }
    return;
  }
  hashers.delete(tar);
  say({ kind: "digest", tar, digest: hasher.finish() });
}

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
      say(reply, reply.kind === "stored" ? plain : undefined);
    });
  }
}

async function seal(plain: Uint8Array): Promise<SealingReply> {
  try {
    return { kind: "stored", ...(await sealAndPut(plain, definite(use, "what to seal with comes first"))) };
  } catch (error) {
    if (!isLambdaImgError(error)) throw error; // A bug: it reaches the pool as the thread's "error" event.
    return { kind: "failed", ...toPlainError(error) };
  }
}

/** Says it to the pool; the memory of bytes that are named moves there. */
function say(reply: SealingReply, moved?: Uint8Array): void {
  port.postMessage(reply, moved === undefined ? [] : [moved.buffer as ArrayBuffer]);
}
