/** What a server counts, as one JSON document: the numbers of the metrics, with distributions that can be drawn. */
import { TIER_NAMES, type Fill, type LookupOutcome, type TierName } from "../chunk/lookup-observer.ts";
import type { NbdCommandName } from "../nbd/observer.ts";
import type { LatencyHistogram } from "./_latency-histogram.ts";
import type { ChunkCounts } from "./chunk-guard.ts";
import type { ServerCounts } from "./metrics.ts";

/** A distribution of latencies; numbers of seconds are at most 2 % too high. */
export interface LatencyReport {
  readonly count: number;
  readonly sumSeconds: number;
  /** Null while nothing was counted. */
  readonly p50Seconds: number | null;
  readonly p90Seconds: number | null;
  readonly p99Seconds: number | null;
  /** The eCDF: so many took at most so many seconds. What took longer than 10,000 s is left out. */
  readonly distribution: readonly (readonly [seconds: number, count: number])[];
}

/** What one tier has done since the start. */
export interface TierReport {
  readonly tier: TierName;
  readonly lookups: Readonly<Record<LookupOutcome, number>>;
  readonly foundBytes: number;
  readonly fills: Readonly<Record<Fill["outcome"], number>>;
  readonly filledBytes: number;
  /** Of hits. */
  readonly latency: LatencyReport;
}

/** What one command has done since the start. */
export interface CommandReport {
  readonly command: NbdCommandName;
  readonly ok: number;
  readonly error: number;
  readonly payloadBytes: number;
  readonly latency: LatencyReport;
}

/** The document `/status.json`. */
export interface StatusReport {
  readonly uptimeSeconds: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Nearest first. */
  readonly tiers: readonly TierReport[];
  readonly loads: ChunkCounts;
  readonly connections: { readonly open: number; readonly accepted: number; readonly turnedAway: number };
  readonly requestsRunning: number;
  readonly commands: readonly CommandReport[];
}

/** The numbers as they are now. */
export function describeStatus({ lookups, requests, loads, process }: ServerCounts): StatusReport {
  const { uptimeSeconds, cpuSeconds, residentBytes } = process();
  return {
    uptimeSeconds,
    cpuSeconds,
    residentBytes,
    tiers: TIER_NAMES.map((tier) => {
      const { latencies, foundBytes, fills, filledBytes } = lookups.of(tier);
      return {
        tier,
        lookups: {
          hit: latencies.hit.count,
          miss: latencies.miss.count,
          corrupt: latencies.corrupt.count,
          failed: latencies.failed.count,
        },
        foundBytes,
        fills: { ...fills },
        filledBytes,
        latency: latencyReport(latencies.hit),
      };
    }),
    loads: loads(),
    connections: {
      open: requests.openConnectionCount,
      accepted: requests.acceptedCount,
      turnedAway: requests.turnedAwayCount,
    },
    requestsRunning: requests.runningCount,
    commands: requests.commands.map(({ latency, ...counts }) => ({
      ...counts,
      latency: latencyReport(latency),
    })),
  };
}

function latencyReport(latency: LatencyHistogram): LatencyReport {
  return {
    count: latency.count,
    sumSeconds: latency.sumSeconds,
    p50Seconds: latency.quantile(0.5) ?? null,
    p90Seconds: latency.quantile(0.9) ?? null,
    p99Seconds: latency.quantile(0.99) ?? null,
    distribution: latency
      .points()
      .filter(({ seconds }) => seconds < Infinity)
      .map(({ seconds, count }) => [seconds, count]),
  };
}
