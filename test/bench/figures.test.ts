/** What the benchmarks say of their numbers is so. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { run, testWith } from "../support/judge.ts";
import { fitLine, showNumber, showShift, summarize, summarizeRatios, type Point } from "./_figures.mjs";

const numbers = fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 9 });

describe("summaries", () => {
  testWith(["python3"], "have the median that Python's statistics has", async () => {
    const samples = fc.sample(numbers, { numRuns: 50, seed: 1 });
    const program =
      "import json, statistics, sys; print(json.dumps([statistics.median(l) for l in json.loads(sys.argv[1])]))";
    const expected: unknown = JSON.parse(await run("python3", ["-c", program, JSON.stringify(samples)]));
    expect(samples.map((sample) => summarize(sample).median)).toEqual(expected);
  });

  test("have the least and the greatest, whatever the order", () => {
    expect(summarize([10, 9, 100])).toEqual({ median: 10, min: 9, max: 100 });
  });

  test("of nothing are refused", () => {
    expect(() => summarize([])).toThrow(RangeError);
  });

  test("of ratios are taken turn by turn, so what slows a turn leaves them alone", () => {
    const ours = [2, 20, 4];
    const theirs = [1, 10, 2];
    expect(summarizeRatios(ours, theirs)).toEqual({ median: 2, min: 2, max: 2 });
  });
});

describe("the line through points", () => {
  const coefficient = fc.double({ min: 0.01, max: 100, noNaN: true });
  const scattered = fc
    .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 10_000 }), coefficient), {
      minLength: 3,
      maxLength: 8,
      selector: ([x]) => x,
    })
    .map((pairs) => pairs.map(([x, y]) => ({ x, y })));

  function lossOf(points: readonly Point[], intercept: number, slope: number): number {
    return points.reduce((sum, { x, y }) => sum + ((intercept + slope * x) / y - 1) ** 2, 0);
  }

  test("is the line on which they lie", () => {
    fc.assert(
      fc.property(coefficient, coefficient, (intercept, slope) => {
        const points = [0.1, 1, 10].map((x) => ({ x, y: intercept + slope * x }));
        const line = fitLine(points)!;
        expect(line.intercept / intercept).toBeCloseTo(1, 6);
        expect(line.slope / slope).toBeCloseTo(1, 6);
        for (const deviation of line.deviations) expect(deviation).toBeCloseTo(0, 6);
      }),
    );
  });

  test("is nearer to them, by relative deviations, than any line beside it", () => {
    fc.assert(
      fc.property(scattered, (points) => {
        const { intercept, slope } = fitLine(points)!;
        const least = lossOf(points, intercept, slope);
        for (const share of [-0.01, 0.01]) {
          const span = Math.max(Math.abs(intercept), Math.abs(slope));
          expect(lossOf(points, intercept + share * span, slope)).toBeGreaterThanOrEqual(least * (1 - 1e-9));
          expect(lossOf(points, intercept, slope + share * span)).toBeGreaterThanOrEqual(least * (1 - 1e-9));
        }
      }),
    );
  });

  test("shows what grows faster than a line, and by how much", () => {
    const square = fitLine([1, 10, 100].map((x) => ({ x, y: x * x })))!;
    expect(Math.max(...square.deviations.map(Math.abs))).toBeGreaterThan(0.5);
    const { deviations } = fitLine([
      { x: 1, y: 10 },
      { x: 2, y: 20 },
      { x: 3, y: 30 },
      { x: 4, y: 44 },
    ])!;
    expect(deviations[3]).toBeGreaterThan(0);
    expect(deviations[2]).toBeLessThan(0);
  });

  test("is not drawn through fewer than three places", () => {
    const twice = [
      { x: 1, y: 1 },
      { x: 2, y: 2 },
      { x: 2, y: 3 },
    ];
    expect(fitLine(twice)).toBeUndefined();
  });
});

test.each([
  [0, "0"],
  [0.01234, "0.0123"],
  [0.5, "0.5"],
  [4.5678, "4.57"],
  [9.999, "10"],
  [99.96, "100"],
  [123.4, "123"],
  [45_678, "45700"],
  [-2.345, "-2.35"],
  [Number.NaN, "-"],
])("%d is shown as %s", (value, shown) => {
  expect(showNumber(value)).toBe(shown);
});

test.each([
  [0.031, "+3.1 %"],
  [-0.0314, "-3.1 %"],
  [0, "+0.0 %"],
])("a shift of %d is shown as %s", (share, shown) => {
  expect(showShift(share)).toBe(shown);
});
