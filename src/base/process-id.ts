// ⚡ uses: process
/** Whether a process runs. */
import { errnoOf } from "./error.ts";

/** kill(2) with signal 0: asks without doing anything. False for what is no pid. */
export function isProcessRunning(processId: number): boolean {
  if (!Number.isSafeInteger(processId) || processId <= 0) return false;
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM"; // It runs, as somebody else's.
  }
}
