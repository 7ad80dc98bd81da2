/** Threads that the system may not give. */
import { errnoOf } from "./error.ts";

/** The thread that `start` makes; `undefined` where the system gives this user or container no more of them. */
export function threadIfGiven<T>(start: () => T): T | undefined {
  try {
    return start();
  } catch (error) {
    if (errnoOf(error) === "ERR_WORKER_INIT_FAILED") return undefined;
    throw error;
  }
}
