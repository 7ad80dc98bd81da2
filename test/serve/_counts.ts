/** Counts that are known in advance. */
import type { ServerCounts } from "../../src/serve/metrics.ts";
import { LookupCounts } from "../../src/serve/metrics-lookups.ts";
import { RequestCounts } from "../../src/serve/metrics-requests.ts";

export interface TestCounts extends ServerCounts {
  uptimeSeconds: number;
  /** Loads under way, and waiting for their turn. */
  queued: { readonly running: number; readonly waiting: number };
}

/** Nothing has been counted; time stands still unless the test moves it. */
export function noCounts(): TestCounts {
  const counts: TestCounts = {
    uptimeSeconds: 1,
    queued: { running: 0, waiting: 0 },
    lookups: new LookupCounts(),
    requests: new RequestCounts(),
    loads: () => ({ loaded: 0, failed: 0, failing: 0, ...counts.queued }),
    process: () => ({
      startSeconds: 1_700_000_000.25,
      uptimeSeconds: counts.uptimeSeconds,
      cpuSeconds: 0.5,
      residentBytes: 64 * 1024 * 1024,
    }),
  };
  return counts;
}

/** Chunk reads as a server with three tiers has them: most in microseconds, some in tenths of a millisecond, few in tens. */
export function countReads({ lookups, requests }: ServerCounts, readCount: number): void {
  for (let read = 0; read < readCount; read++) {
    const spread = 1 + ((read * 7919) % 1000) / 700;
    const kind = read % 20 === 0 ? "store" : read % 4 === 0 ? "disk" : "memory";
    const seconds = { memory: 2e-6, disk: 3e-4, store: 2e-2 }[kind] * spread * spread;
    if (kind !== "memory") lookups.looked({ tier: "memory", outcome: "miss", seconds: 1e-6, sizeBytes: 0 });
    if (kind === "store") lookups.looked({ tier: "disk", outcome: "miss", seconds: 5e-5, sizeBytes: 0 });
    lookups.looked({ tier: kind, outcome: "hit", seconds, sizeBytes: 524_288 });
    if (kind === "store") lookups.filled({ tier: "disk", outcome: "stored", sizeBytes: 524_288 });
    if (kind !== "memory") lookups.filled({ tier: "memory", outcome: "stored", sizeBytes: 524_288 });
    requests.requestBegan();
    requests.requestEnded({ command: "read", outcome: "ok", seconds: seconds + 5e-5, payloadBytes: 4096 });
  }
}
