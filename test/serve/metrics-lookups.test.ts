import fc from "fast-check";
import { expect, test } from "vitest";

import { TIER_NAMES } from "../../src/chunk/lookup-observer.ts";
import { LookupCounts } from "../../src/serve/metrics-lookups.ts";

const OUTCOMES = ["hit", "miss", "corrupt", "failed"] as const;

const lookup = fc.record({
  tier: fc.constantFrom(...TIER_NAMES),
  outcome: fc.constantFrom(...OUTCOMES),
  seconds: fc.integer({ min: 0, max: 2 ** 20 }).map((part) => part / 2 ** 10),
  sizeBytes: fc.nat(524_288),
});
const fill = fc.record({
  tier: fc.constantFrom(...TIER_NAMES),
  outcome: fc.constantFrom("stored", "failed"),
  sizeBytes: fc.nat(524_288),
});

test("every lookup and fill is counted for its tier, and nowhere else", () => {
  fc.assert(
    fc.property(fc.array(lookup), fc.array(fill), (lookups, fills) => {
      const counts = new LookupCounts();
      for (const each of lookups) counts.looked(each);
      for (const each of fills) counts.filled(each);
      const sum = (numbers: readonly number[]): number => numbers.reduce((left, right) => left + right, 0);
      for (const tier of TIER_NAMES) {
        const found = counts.of(tier);
        const here = lookups.filter((each) => each.tier === tier);
        for (const outcome of OUTCOMES) {
          const same = here.filter((each) => each.outcome === outcome);
          expect(found.latencies[outcome].count).toBe(same.length);
          expect(found.latencies[outcome].sumSeconds).toBe(sum(same.map(({ seconds }) => seconds)));
        }
        expect(found.foundBytes).toBe(sum(here.map(({ sizeBytes }) => sizeBytes)));
        const stored = fills.filter((each) => each.tier === tier && each.outcome === "stored");
        expect(found.fills.stored).toBe(stored.length);
        expect(found.filledBytes).toBe(sum(stored.map(({ sizeBytes }) => sizeBytes)));
        expect(found.fills.stored + found.fills.failed).toBe(
          fills.filter((each) => each.tier === tier).length,
        );
      }
    }),
  );
});
