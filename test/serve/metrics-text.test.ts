import { expect, test } from "vitest";

import { LatencyHistogram } from "../../src/serve/_latency-histogram.ts";
import { encodeMetrics } from "../../src/serve/metrics-text.ts";
import { judgeMetrics } from "./promtool.ts";
import { testWith } from "../support/judge.ts";

const NASTY = 'a\\b "c"\nd';

function sample(): string {
  const latency = new LatencyHistogram();
  for (const seconds of [5e-7, 1e-6, 1.5e-6, 0.02, 0.020001, 1000]) latency.record(seconds);
  return encodeMetrics([
    { name: "one_total", help: NASTY, type: "counter", samples: [{ labels: {}, value: 2 ** 53 }] },
    {
      name: "two",
      help: "A gauge.",
      type: "gauge",
      samples: [
        { labels: { a: NASTY }, value: 1e-7 },
        { labels: { a: "x", b: "y" }, value: 0 },
      ],
    },
    {
      name: "three_seconds",
      help: "A histogram.",
      type: "histogram",
      distributions: [{ labels: { tier: "memory" }, latency }],
    },
  ]);
}

test("counters and gauges are a line each, escaped as the format says", () => {
  expect(sample().split("\n").slice(0, 6)).toEqual([
    String.raw`# HELP one_total a\\b "c"\nd`,
    "# TYPE one_total counter",
    "one_total 9007199254740992",
    "# HELP two A gauge.",
    "# TYPE two gauge",
    String.raw`two{a="a\\b \"c\"\nd"} 1e-7`,
  ]);
  expect(sample()).toContain('\ntwo{a="x",b="y"} 0\n');
});

test("a histogram has cumulative buckets, a sum and a count", () => {
  const text = sample();
  const bucket = (le: string): string | undefined =>
    new RegExp(`^three_seconds_bucket\\{tier="memory",le="${le.replace("+", "\\+")}"\\} (.*)$`, "m").exec(
      text,
    )?.[1];
  expect(["0.000001", "0.000002", "0.01", "0.02", "0.05", "100", "+Inf"].map(bucket)).toEqual([
    "2",
    "3",
    "3",
    "4",
    "5",
    "5",
    "6",
  ]);
  expect(text.match(/^three_seconds_bucket/gm)?.length).toBe(26);
  expect(text).toMatch(/^three_seconds_sum\{tier="memory"\} 1000\.04000[0-9]+$/m);
  expect(text).toMatch(/^three_seconds_count\{tier="memory"\} 6\n$/m);
});

testWith(["promtool"], "promtool reads all of it", async () => {
  expect(await judgeMetrics(sample())).toBe("");
});
