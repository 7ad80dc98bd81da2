/**
 * Stands between a server and its store, which may hang: what the store has not answered by the end of the time of grace is
 * given up, so that the server can stop. Loads of chunks have a guard of their own (chunk-guard.ts).
 */
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import type { NbdTimers } from "../nbd/export.ts";
import type { ListedRef, Store } from "../store/store.ts";

/** What a server needs of a store. */
export type ServedStore = Pick<
  Store,
  "getChunk" | "getManifest" | "getRef" | "listRefs" | "getRecord" | "putRecord" | "close"
>;

/** A store that nobody has to wait for once it is stopped. */
export class StoppableStore implements ServedStore {
  readonly #store: ServedStore;
  readonly #timers: NbdTimers;
  /** What ends the wait for a call. */
  readonly #waits: Set<(error: LambdaImgError) => void> = new Set();
  /** Calls that the store has not answered, also those that were given up. */
  #runningCount = 0;
  #endGrace: (() => void) | undefined;
  #isGraceOver = false;

  constructor(store: ServedStore, timers: NbdTimers) {
    this.#store = store;
    this.#timers = timers;
  }

  /** True while there is a call that the store has not answered; chunks do not count. */
  get isWaitingForStore(): boolean {
    return this.#runningCount > 0;
  }

  getChunk(...args: Parameters<ServedStore["getChunk"]>): Promise<Uint8Array> {
    return this.#store.getChunk(...args);
  }

  getManifest(...args: Parameters<ServedStore["getManifest"]>): Promise<Uint8Array> {
    return this.#ask(() => this.#store.getManifest(...args));
  }

  getRef(...args: Parameters<ServedStore["getRef"]>): ReturnType<ServedStore["getRef"]> {
    return this.#ask(() => this.#store.getRef(...args));
  }

  listRefs(...args: Parameters<ServedStore["listRefs"]>): Promise<readonly ListedRef[]> {
    return this.#ask(() => this.#store.listRefs(...args));
  }

  getRecord(...args: Parameters<ServedStore["getRecord"]>): Promise<Uint8Array | undefined> {
    return this.#ask(() => this.#store.getRecord(...args));
  }

  putRecord(...args: Parameters<ServedStore["putRecord"]>): Promise<void> {
    return this.#ask(() => this.#store.putRecord(...args));
  }

  /** After `graceMs` all that the store has not answered, or is asked from then on, fails with CANCELLED. */
  stop({ graceMs }: { readonly graceMs: number }): void {
    this.#endGrace ??= this.#timers.start(graceMs, () => {
      this.#isGraceOver = true;
      for (const end of [...this.#waits]) end(givenUp());
    });
  }

  /** Closes the store, unless it does not answer until the time of grace of `stop` is over. */
  async close(): Promise<void> {
    try {
      await this.#ask(() => this.#store.close());
    } catch (error) {
      if (!isLambdaImgError(error, "CANCELLED")) throw error;
    } finally {
      this.#endGrace?.();
    }
  }

  #ask<T>(call: () => Promise<T>): Promise<T> {
    if (this.#isGraceOver) return Promise.reject(givenUp());
    this.#runningCount++;
    return new Promise((resolve, reject) => {
      this.#waits.add(reject);
      call()
        .finally(() => {
          this.#runningCount--;
          this.#waits.delete(reject);
        })
        .then(resolve, reject);
    });
  }
}

function givenUp(): LambdaImgError {
  return new LambdaImgError("CANCELLED", "the server is stopping, and the store has not answered");
}
