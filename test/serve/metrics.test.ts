import { readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { describeMetrics } from "../../src/serve/metrics.ts";
import { encodeMetrics, type Metric, type MetricLabels } from "../../src/serve/metrics-text.ts";
import { testWith } from "../support/judge.ts";
import { countReads, noCounts } from "./_counts.ts";
import { judgeMetrics } from "./promtool.ts";

const PAGE = readFileSync(path.join(import.meta.dirname, "../../docs/metrics.md"), "utf8");

function seriesOf(metric: Metric): readonly MetricLabels[] {
  return (metric.type === "histogram" ? metric.distributions : metric.samples).map(({ labels }) => labels);
}

/** The value of the line that begins so. */
function valueOf(text: string, series: string): number {
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}

describe("docs/metrics.md", () => {
  test("lists every metric with its type and labels, in the program's order, and no other", () => {
    const rows = [...PAGE.matchAll(/^\| `([a-z_]+)` \| (counter|gauge|histogram) \| (.*?) \| .+ \|$/gm)];
    const listed = rows.map(([, name, type, labels]) => ({ name, type, labels }));
    const expected = describeMetrics(noCounts()).map((metric) => ({
      name: metric.name,
      type: metric.type,
      labels: Object.keys(seriesOf(metric)[0] ?? {})
        .map((label) => `\`${label}\``)
        .join(", "),
    }));
    expect(listed).toEqual(expected);
  });

  test("lists every value that a label has", () => {
    const values = new Map<string, Set<string>>();
    for (const metric of describeMetrics(noCounts())) {
      for (const labels of seriesOf(metric)) {
        for (const [label, value] of Object.entries(labels)) {
          // Outcomes are told metric by metric.
          const key = label === "outcome" ? `${label} of ${metric.name}` : label;
          values.set(key, (values.get(key) ?? new Set()).add(value));
        }
      }
    }
    for (const [label, found] of values) {
      const row = PAGE.split("\n").find((line) =>
        label.startsWith("outcome")
          ? line.startsWith(`| \`${label.replace("outcome of ", "")}\``)
          : line.startsWith(`| \`${label}\` |`),
      );
      // A histogram has the outcomes of the counter above it.
      if (label.endsWith("_seconds")) continue;
      for (const value of found) expect(row, `${label}: ${value}`).toContain(`\`${value}\``);
    }
  });
});

test("every series is there from the start, at zero, and none comes later", () => {
  const counts = noCounts();
  const text = encodeMetrics(describeMetrics(counts));
  const seriesIn = (page: string): string[] =>
    [...page.matchAll(/^([a-z].*) [^ ]+$/gm)].map(([, series]) => series ?? "");
  countReads(counts, 100);
  expect(seriesIn(encodeMetrics(describeMetrics(counts)))).toEqual(seriesIn(text));
  expect(PAGE).toContain(`number of series, ${seriesIn(text).length}.`);
  for (const tier of ["memory", "disk", "store"]) {
    for (const outcome of ["hit", "miss", "corrupt", "failed"]) {
      const labels = `{tier="${tier}",outcome="${outcome}"}`;
      expect(valueOf(text, `lambda_img_chunk_lookups_total${labels}`)).toBe(0);
      expect(valueOf(text, `lambda_img_chunk_lookup_duration_seconds_count${labels}`)).toBe(0);
    }
  }
  expect(valueOf(text, 'lambda_img_nbd_requests_total{command="write_zeroes",outcome="error"}')).toBe(0);
});

test("what was counted is what is told", () => {
  const counts = {
    ...noCounts(),
    loads: () => ({ loaded: 8, failed: 3, failing: 2, running: 5, waiting: 4 }),
  };
  countReads(counts, 20);
  counts.lookups.looked({ tier: "disk", outcome: "corrupt", seconds: 0.25, sizeBytes: 0 });
  counts.lookups.looked({ tier: "store", outcome: "failed", seconds: 30, sizeBytes: 0 });
  counts.lookups.filled({ tier: "disk", outcome: "failed", sizeBytes: 512 });
  counts.requests.connected();
  counts.requests.turnedAway();
  counts.requests.requestBegan();
  const text = encodeMetrics(describeMetrics(counts));
  // Of 20 reads the first misses everywhere, and of the others every fourth misses in memory.
  const expected: Readonly<Record<string, number>> = {
    'lambda_img_chunk_lookups_total{tier="memory",outcome="hit"}': 15,
    'lambda_img_chunk_lookups_total{tier="memory",outcome="miss"}': 5,
    'lambda_img_chunk_lookups_total{tier="disk",outcome="hit"}': 4,
    'lambda_img_chunk_lookups_total{tier="disk",outcome="miss"}': 1,
    'lambda_img_chunk_lookups_total{tier="disk",outcome="corrupt"}': 1,
    'lambda_img_chunk_lookups_total{tier="store",outcome="hit"}': 1,
    'lambda_img_chunk_lookups_total{tier="store",outcome="failed"}': 1,
    'lambda_img_chunk_lookup_duration_seconds_bucket{tier="store",outcome="failed",le="20"}': 0,
    'lambda_img_chunk_lookup_duration_seconds_bucket{tier="store",outcome="failed",le="50"}': 1,
    'lambda_img_chunk_lookup_duration_seconds_sum{tier="store",outcome="failed"}': 30,
    'lambda_img_chunk_found_bytes_total{tier="memory"}': 15 * 524_288,
    'lambda_img_chunk_fills_total{tier="memory",outcome="stored"}': 5,
    'lambda_img_chunk_fills_total{tier="disk",outcome="stored"}': 1,
    'lambda_img_chunk_fills_total{tier="disk",outcome="failed"}': 1,
    'lambda_img_chunk_filled_bytes_total{tier="disk"}': 524_288,
    'lambda_img_chunk_loads_total{outcome="verified"}': 8,
    'lambda_img_chunk_loads_total{outcome="failed"}': 3,
    lambda_img_chunk_loads_running: 5,
    lambda_img_chunk_loads_waiting: 4,
    lambda_img_chunks_failing: 2,
    lambda_img_nbd_connections: 1,
    'lambda_img_nbd_connections_total{outcome="turned_away"}': 1,
    lambda_img_nbd_requests_running: 1,
    'lambda_img_nbd_requests_total{command="read",outcome="ok"}': 20,
    'lambda_img_nbd_request_duration_seconds_count{command="read"}': 20,
    'lambda_img_nbd_payload_bytes_total{command="read"}': 20 * 4096,
    process_cpu_seconds_total: 0.5,
    process_resident_memory_bytes: 67_108_864,
    process_start_time_seconds: 1_700_000_000.25,
  };
  for (const [series, value] of Object.entries(expected)) expect(valueOf(text, series), series).toBe(value);
});

testWith(["promtool"], "promtool has nothing to say against names, types and text", async () => {
  const counts = noCounts();
  expect(await judgeMetrics(encodeMetrics(describeMetrics(counts)))).toBe("");
  countReads(counts, 1000);
  expect(await judgeMetrics(encodeMetrics(describeMetrics(counts)))).toBe("");
});

testWith(["promtool"], "promtool would say so if a name were wrong", async () => {
  expect(await judgeMetrics("# HELP a_count x\n# TYPE a_count counter\na_count 1\n")).toContain("_total");
  expect(await judgeMetrics("a_total{b=1} 1\n")).toContain("status");
});
