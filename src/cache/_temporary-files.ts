// ⚡ uses: file system, process, time
/** Temporary files of the disk tier: `PID-SESSION-NUMBER`. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

import { isProcessRunning } from "../base/process-id.ts";
import { removeIfThere } from "./_remove.ts";

const AGE_MS_MAX = 24 * 3600 * 1000;

/**
 * Removes files whose process is gone, and those of another day. Call it before this process makes any: one with its
 * pid is of a process before it. A process in another container can look gone; then one put of its fails, which is
 * counted there and harms nobody. What cannot be removed stays, and is in nobody's way.
 */
export async function removeAbandoned(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const processId = Number(/^([0-9]{1,10})-/.exec(name)?.[1] ?? Number.NaN);
    const path = join(directory, name);
    if (!isProcessRunning(processId) || processId === process.pid || (await isOld(path))) {
      await removeIfThere(path).catch(() => undefined);
    }
  }
}

/** By the time that nobody can set. */
async function isOld(path: string): Promise<boolean> {
  const status = await lstat(path).catch(() => undefined); // It has gone, or cannot be judged: then it stays.
  return status !== undefined && Date.now() - status.ctimeMs > AGE_MS_MAX;
}
