// ⚡ uses: process, worker
/** Threads as they start. */
import { setFlagsFromString } from "node:v8";
import type { Worker } from "node:worker_threads";

import { CompileLater } from "./compile-later.ts";
import { errnoOf } from "./error.ts";

/** Of this process: V8's flags are those of all its threads. */
export const compileLater: CompileLater = new CompileLater(process.versions.v8, setFlagsFromString);

/**
 * The thread that `make` makes, as one that starts (base/compile-later) until it says something for the first time.
 * @throws what `make` throws
 */
export function startThread(make: () => Worker): Worker {
  const hasStarted = compileLater.threadStarts();
  try {
    return make().once("message", hasStarted).once("exit", hasStarted);
  } catch (error) {
    hasStarted();
    throw error;
  }
}

/** The thread that `start` makes; `undefined` where the system gives this user or container no more of them. */
export function threadIfGiven<T>(start: () => T): T | undefined {
  try {
    return start();
  } catch (error) {
    if (errnoOf(error) === "ERR_WORKER_INIT_FAILED") return undefined;
    throw error;
  }
}
