// ⚡ uses: file system, process
/** The words of the command line, as far as node can give them. */
import { readFileSync } from "node:fs";

import { LambdaImgError } from "../base/error.ts";

/**
 * Node gives bytes that are no UTF-8 as U+FFFD. What is named with them would be another file than the one that was
 * meant, and two of them one.
 * @throws USAGE_INVALID
 */
export function refuseOtherThanUtf8(): void {
  if (!process.argv.some((word) => word.includes("\ufffd"))) return;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(givenBytes());
  } catch {
    throw new LambdaImgError("USAGE_INVALID", "a word of the command line is not UTF-8: expected only such");
  }
}

/** proc_pid_cmdline(5); nothing where the system has no such file: then it cannot be told. */
function givenBytes(): Uint8Array {
  try {
    return readFileSync("/proc/self/cmdline");
  } catch {
    return new Uint8Array(0);
  }
}
