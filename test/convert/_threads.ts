/** Threads that tests can have refused, and count: what a test's `vi.mock("node:worker_threads")` gives in place of Node's. */
import type { Worker } from "node:worker_threads";

/** Of the test file at hand: each has its own. */
export const threads = { areRefused: false, made: [] as Worker[] };

/** The module with a Worker that is refused while `threads.areRefused`, and stands in `threads.made` otherwise. */
export function watched<Module extends { readonly Worker: typeof Worker }>(real: Module): Module {
  return {
    ...real,
    Worker: class extends real.Worker {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        // As node has it where a limit on processes is reached.
        if (threads.areRefused) {
          throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" });
        }
        super(...given);
        threads.made.push(this);
      }
    },
  };
}
