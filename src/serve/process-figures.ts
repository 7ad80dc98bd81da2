// ⚡ uses: time, process
/** What the system says of this process. */
import type { ProcessFigures } from "./metrics.ts";

/** The figures as they are now. */
export function readProcessFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  return {
    startSeconds: performance.timeOrigin / 1000,
    uptimeSeconds: performance.now() / 1000,
    cpuSeconds: (user + system) / 1e6,
    residentBytes: process.memoryUsage.rss(),
  };
}
