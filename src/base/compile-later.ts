// ⚡ uses: process, worker
/**
 * How soon V8 compiles what runs often, and threads that start with the code that Node brings along.
 *
 * For a command of a few seconds that keeps all processors busy, what V8 optimizes takes a seventh of its CPU time, and comes too late to
 * give that back (docs/architecture.md, "Threads"). But compiled code, as Node has it of its own modules, is good for V8 only with the flags
 * that it was compiled with: a thread that starts with others compiles all of it anew, which takes 40 ms of CPU more. So each
 * thread, when it has started, sets the flag for the process, whose threads have their flags in common.
 */
import { setFlagsFromString } from "node:v8";
import { Worker, workerData } from "node:worker_threads";

/** What V8 11.3 has by itself (Node 20). From V8 12 on a quick compiler comes before the optimizing one, which waits longer. */
const BUDGET_BYTES_DEFAULT = 66 * 1024;
const WAITS_AS_LONG = 8;

/** What a thread is given to start with. */
interface ThreadStart {
  readonly compilesLater: boolean;
}

let isWanted = false;

/**
 * Makes V8 wait eight times as long before it gives a function to its optimizing compiler, from when the next thread has started, where it
 * is a V8 that waits too short. False makes it what it was.
 */
export function compileLater(isLater: boolean): void {
  isWanted = isLater;
  if (!isLater) setBudget(BUDGET_BYTES_DEFAULT);
}

/** A thread that runs `program`, which calls `threadHasStarted`. @throws what Worker throws */
export function startThread(program: URL): Worker {
  if (isWanted) setBudget(BUDGET_BYTES_DEFAULT);
  const start: ThreadStart = { compilesLater: isWanted };
  return new Worker(program, { workerData: start });
}

/** To be called by the program of a thread that `startThread` has started, when all that it needs is loaded. */
export function threadHasStarted(): void {
  if ((workerData as ThreadStart).compilesLater) setBudget(WAITS_AS_LONG * BUDGET_BYTES_DEFAULT);
}

/** Another V8 would not know the flag, and say so on stderr. */
function setBudget(sizeBytes: number): void {
  if (process.versions.v8.startsWith("11.3.")) setFlagsFromString(`--interrupt-budget=${sizeBytes}`);
}
