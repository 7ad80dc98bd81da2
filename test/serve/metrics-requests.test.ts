import { expect, test } from "vitest";

import { RequestCounts } from "../../src/serve/metrics-requests.ts";

test("connections are open from when they come to when they go", () => {
  const counts = new RequestCounts();
  counts.connected();
  counts.connected();
  counts.disconnected();
  counts.turnedAway();
  expect(counts).toMatchObject({ openConnectionCount: 1, acceptedCount: 2, turnedAwayCount: 1 });
});

test("requests are under way until they end, and are counted by command and outcome then", () => {
  const counts = new RequestCounts();
  for (let request = 0; request < 3; request++) counts.requestBegan();
  counts.requestEnded({ command: "read", outcome: "ok", seconds: 0.5, payloadBytes: 4096 });
  counts.requestEnded({ command: "read", outcome: "error", seconds: 1, payloadBytes: 0 });
  expect(counts.runningCount).toBe(1);
  const [read, write] = counts.commands;
  expect(read).toMatchObject({ command: "read", ok: 1, error: 1, payloadBytes: 4096 });
  expect(read?.latency).toMatchObject({ count: 2, sumSeconds: 1.5 });
  expect(write).toMatchObject({ command: "write", ok: 0, error: 0 });
});
