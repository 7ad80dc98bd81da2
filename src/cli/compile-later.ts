// ⚡ uses: process
/** How soon V8 compiles what runs often. */
import { setFlagsFromString } from "node:v8";

/** What V8 11.3 has by itself (Node 20). From V8 12 on a quick compiler comes before the optimizing one, which waits longer. */
const BUDGET_BYTES_DEFAULT = 66 * 1024;
const WAITS_AS_LONG = 8;

/**
 * Makes V8 wait eight times as long before it gives a function to its optimizing compiler, where it is one that waits too short.
 * For a command of a few seconds that keeps all processors busy: what is compiled in that time takes a seventh of its
 * CPU time, and comes too late to give that back (docs/architecture.md, "Threads").
 */
export function compileLater(
  v8Version: string = process.versions.v8,
  setFlag: (flag: string) => void = setFlagsFromString,
): void {
  // Another V8 would not know the flag, and say so on stderr.
  if (v8Version.startsWith("11.3.")) setFlag(`--interrupt-budget=${WAITS_AS_LONG * BUDGET_BYTES_DEFAULT}`);
}
