import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { LatencyHistogram } from "../../src/serve/_latency-histogram.ts";

function histogramOf(durations: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const seconds of durations) histogram.record(seconds);
  return histogram;
}

/** Durations of all sizes alike, in whole nanoseconds. */
const duration = fc
  .double({ min: Math.log(1e-7), max: Math.log(9_999), noNaN: true })
  .map((exponent) => Math.round(Math.exp(exponent) * 1e9) / 1e9);

/** 1, 2 and 5 times powers of ten, as texts first: to multiply would round. */
const BOUNDS = [-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3]
  .flatMap((power) => [1, 2, 5].map((digit) => Number(`${digit}e${power}`)))
  .concat(10_000);

test("nothing has no quantile and no points", () => {
  const histogram = new LatencyHistogram();
  expect(histogram.quantile(0.5)).toBeUndefined();
  expect(histogram.points()).toEqual([]);
  expect(histogram.countsUpTo([1, 2])).toEqual([0, 0]);
  expect(histogram).toMatchObject({ count: 0, sumSeconds: 0 });
});

test("every quantile is the sorted array's, or at most 2 % more", () => {
  fc.assert(
    fc.property(
      fc.array(duration, { minLength: 1 }),
      fc.double({ min: 0.001, max: 1 }),
      (durations, part) => {
        const sorted = durations.toSorted((left, right) => left - right);
        const exact = sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0;
        const found = histogramOf(durations).quantile(part) ?? 0;
        expect(found).toBeGreaterThanOrEqual(exact * (1 - 1e-9));
        expect(found).toBeLessThanOrEqual(exact * (1.02 + 1e-9));
      },
    ),
  );
});

test("counts up to 1, 2 and 5 times a power of ten are those of the array", () => {
  const atBounds = fc.constantFrom(...BOUNDS);
  fc.assert(
    fc.property(fc.array(fc.oneof(duration, atBounds)), (durations) => {
      const counts = histogramOf(durations).countsUpTo(BOUNDS);
      expect(counts).toEqual(BOUNDS.map((bound) => durations.filter((each) => each <= bound).length));
    }),
  );
});

test("points rise in both directions, up to the number of all", () => {
  fc.assert(
    fc.property(fc.array(duration, { minLength: 1 }), (durations) => {
      const points = histogramOf(durations).points();
      points.slice(1).forEach(({ seconds, count }, index) => {
        expect(seconds).toBeGreaterThan(points[index]?.seconds ?? 0);
        expect(count).toBeGreaterThan(points[index]?.count ?? 0);
      });
      expect(points.at(-1)?.count).toBe(durations.length);
    }),
  );
});

describe("a bucket holds its end and begins behind it", () => {
  test.each(BOUNDS)("%d s", (bound) => {
    const next = bound + Math.max(1e-9, bound * 1e-12);
    const [upTo, all] = histogramOf([bound, next]).countsUpTo([bound, 1e9]);
    expect([upTo, all]).toEqual([1, 2]);
  });
});

test.each([
  [0, 1e-7],
  [1e-7, 1e-7],
  // Clocks of ours do not go back; if one did, nothing would break.
  [-1, 1e-7],
  [10_000, 10_000],
  [10_000.1, Infinity],
  [Infinity, Infinity],
])("%d s is counted at the edge", (seconds, expected) => {
  expect(histogramOf([seconds]).points()).toEqual([{ seconds: expected, count: 1 }]);
});
