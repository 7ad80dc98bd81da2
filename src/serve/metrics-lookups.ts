/** Counts where chunks were looked for and what was found: hits, misses, bytes and latencies of each tier. */
import type { Fill, Lookup, LookupObserver, LookupOutcome, TierName } from "../chunk/lookup-observer.ts";
import { LatencyHistogram } from "./_latency-histogram.ts";

/** What one tier has done since the start. */
export interface TierCounts {
  /** By what the tier answered; the counts of these are the numbers of lookups. */
  readonly latencies: Readonly<Record<LookupOutcome, LatencyHistogram>>;
  readonly foundBytes: number;
  readonly fills: Readonly<Record<Fill["outcome"], number>>;
  readonly filledBytes: number;
}

interface MutableTierCounts extends TierCounts {
  foundBytes: number;
  readonly fills: Record<Fill["outcome"], number>;
  filledBytes: number;
}

/** Counts for all images of a server together. */
export class LookupCounts implements LookupObserver {
  readonly #tiers: Readonly<Record<TierName, MutableTierCounts>> = {
    memory: noCounts(),
    disk: noCounts(),
    store: noCounts(),
  };

  looked({ tier, outcome, seconds, sizeBytes }: Lookup): void {
    const counts = this.#tiers[tier];
    counts.latencies[outcome].record(seconds);
    counts.foundBytes += sizeBytes;
  }

  filled({ tier, outcome, sizeBytes }: Fill): void {
    const counts = this.#tiers[tier];
    counts.fills[outcome]++;
    if (outcome === "stored") counts.filledBytes += sizeBytes;
  }

  /** The counts of a tier, which go on changing. */
  of(tier: TierName): TierCounts {
    return this.#tiers[tier];
  }
}

function noCounts(): MutableTierCounts {
  return {
    latencies: {
      hit: new LatencyHistogram(),
      miss: new LatencyHistogram(),
      corrupt: new LatencyHistogram(),
      failed: new LatencyHistogram(),
    },
    foundBytes: 0,
    fills: { stored: 0, failed: 0 },
    filledBytes: 0,
  };
}
