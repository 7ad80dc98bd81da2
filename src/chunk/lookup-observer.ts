/** The contract of who counts: told where chunks were looked for, and what was found there. docs/cache.md. */

/** Where a chunk may be, nearest first: open in memory, sealed on this machine's disk, in the store. */
export type TierName = "memory" | "disk" | "store";

/** The tiers, nearest first. */
export const TIER_NAMES: readonly TierName[] = ["memory", "disk", "store"];

/**
 * What a tier answered. `corrupt`: bytes that are not those of the chunk's name, so the next tier was asked;
 * `failed`: it could not be asked, or did not answer in time.
 */
export type LookupOutcome = "hit" | "miss" | "corrupt" | "failed";

/** One look into one tier. */
export interface Lookup {
  readonly tier: TierName;
  readonly outcome: LookupOutcome;
  /** Seconds from the question to this tier's answer, on a clock that never goes back. */
  readonly seconds: number;
  /** Bytes of the chunk that was found; 0 where there was none. */
  readonly sizeBytes: number;
}

/** A chunk that was put into a tier, or could not be. */
export interface Fill {
  readonly tier: TierName;
  readonly outcome: "stored" | "failed";
  readonly sizeBytes: number;
}

/** Is told of every lookup and every fill, on the path of reads: it has to be quick and must not throw. */
export interface LookupObserver {
  looked(lookup: Lookup): void;
  filled(fill: Fill): void;
}
