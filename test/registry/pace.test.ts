import { expect, test } from "vitest";

import { REAL_PACE } from "../../src/registry/pace.ts";

test("waits, and no longer than until it is cancelled", async () => {
  await REAL_PACE.wait(1, undefined);
  const abort = new AbortController();
  const waited = REAL_PACE.wait(600_000, abort.signal);
  abort.abort();
  await waited;
  await REAL_PACE.wait(600_000, abort.signal);
});

test("has a clock and chance", () => {
  expect(REAL_PACE.now()).toBeGreaterThan(Date.UTC(2020, 0, 1));
  const chance = REAL_PACE.random();
  expect(chance).toBeGreaterThanOrEqual(0);
  expect(chance).toBeLessThan(1);
});
