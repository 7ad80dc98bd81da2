// ⚡ uses: worker
/** A thread that seals chunks, as its pool sees it. */
import type { Worker } from "node:worker_threads";

import { startThread } from "../base/compile-later.ts";
import { definite, fromPlainError } from "../base/error.ts";
import type { StoredChunk } from "./chunk-sealer.ts";
import type { SealingReply, SealingRequest, SealingStart } from "./_sealing-message.ts";
import { TarHashing } from "./_tar-hashing.ts";

interface Waiting {
  resolve(chunk: StoredChunk): void;
  reject(error: unknown): void;
}

/** Runs sealing-worker.ts. */
export class SealingThread {
  /** The tars that it hashes besides. */
  readonly hashing: TarHashing;
  readonly #worker: Worker;
  /** In the order of the requests: a thread answers in that order. */
  readonly #waiting: Waiting[] = [];
  #failure: Error | undefined;
  #isStarting = true;

  constructor() {
    this.#worker = startThread(new URL("./sealing-worker.js", import.meta.url));
    this.hashing = new TarHashing((request, moved) => {
      this.#worker.postMessage(request, moved);
    });
    this.#worker.on("online", () => {
      this.#isStarting = false;
    });
    this.#worker.on("message", (reply: SealingReply) => {
      this.#hear(reply);
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

  /** Says what to seal with. Call it once, before `seal`. */
  begin(start: SealingStart): void {
    const request: SealingRequest = { kind: "start", ...start };
    this.#worker.postMessage(request);
  }

  seal(plain: Uint8Array): Promise<StoredChunk> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.push({ resolve, reject });
      const request: SealingRequest = { kind: "seal", plain };
      this.#worker.postMessage(request, [plain.buffer as ArrayBuffer]);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #hear(reply: SealingReply): void {
    if (reply.kind === "hashed" || reply.kind === "digest") {
      this.hashing.hear(reply);
      return;
    }
    const waiting = definite(this.#waiting.shift(), "a thread answers what it was asked");
    if (reply.kind === "stored") waiting.resolve(reply);
    else waiting.reject(fromPlainError(reply));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
    this.hashing.fail(this.#failure);
  }
}
