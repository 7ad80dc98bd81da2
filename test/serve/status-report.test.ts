import { expect, test } from "vitest";

import { describeStatus } from "../../src/serve/status-report.ts";
import { countReads, noCounts } from "./_counts.ts";

test("before anything was read there are zeros, nulls, and empty distributions", () => {
  const report = describeStatus(noCounts());
  expect(report.tiers.map(({ tier, latency }) => [tier, latency.distribution])).toEqual([
    ["memory", []],
    ["disk", []],
    ["store", []],
  ]);
  expect(report.tiers[0]?.latency).toEqual({
    count: 0,
    sumSeconds: 0,
    p50Seconds: null,
    p90Seconds: null,
    p99Seconds: null,
    distribution: [],
  });
  expect(report.commands.length).toBe(8);
});

test("tells what was counted", () => {
  const counts = noCounts();
  countReads(counts, 2000);
  counts.requests.connected();
  counts.requests.requestBegan();
  const report = describeStatus(counts);
  const [memory, disk, store] = report.tiers;
  expect(memory?.lookups).toEqual({ hit: 1500, miss: 500, corrupt: 0, failed: 0 });
  expect(disk?.lookups).toEqual({ hit: 400, miss: 100, corrupt: 0, failed: 0 });
  expect(store).toMatchObject({ lookups: { hit: 100 }, foundBytes: 100 * 524_288, fills: { stored: 0 } });
  expect(report.connections).toEqual({ open: 1, accepted: 1, turnedAway: 0 });
  expect(report.requestsRunning).toBe(1);
  expect(report.commands[0]).toMatchObject({ command: "read", ok: 2000, payloadBytes: 2000 * 4096 });
  // 2 µs to 2 µs (1 + 999/700)², 300 µs and 20 ms times the same.
  for (const [tier, least] of [
    [memory, 2e-6],
    [disk, 3e-4],
    [store, 2e-2],
  ] as const) {
    expect(tier?.latency.p50Seconds).toBeGreaterThan(least * 2);
    expect(tier?.latency.p99Seconds).toBeLessThan(least * 6.02);
    expect(tier?.latency.distribution.at(-1)?.[1]).toBe(tier?.latency.count);
  }
});

test("the document is JSON, whatever was counted", () => {
  const counts = noCounts();
  counts.lookups.looked({ tier: "store", outcome: "hit", seconds: 20_000, sizeBytes: 1 });
  counts.lookups.looked({ tier: "store", outcome: "hit", seconds: 0, sizeBytes: 1 });
  const report = describeStatus(counts);
  expect(report.tiers[2]?.latency.distribution).toEqual([[1e-7, 1]]);
  expect(JSON.stringify(report)).toContain('"p99Seconds":null');
});
