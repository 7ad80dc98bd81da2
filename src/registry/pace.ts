// ⚡ uses: time, chance
/** Real time and chance. */
import type { Pace } from "./retry.ts";

/** The machine's clock and the runtime's chance. */
export const REAL_PACE: Pace = {
  now: () => Date.now(),
  random: () => Math.random(),
  wait: (delayMs, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", finish);
        resolve();
      };
      const timer = setTimeout(finish, delayMs);
      signal?.addEventListener("abort", finish);
    }),
};
