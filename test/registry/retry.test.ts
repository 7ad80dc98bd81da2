import { expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { parseRetryAfter, retry, RETRY_DEFAULTS } from "../../src/registry/retry.ts";
import { TestPace } from "../support/faulty-proxy.ts";

function failing(count: number, error: (index: number) => Error): () => Promise<string> {
  let index = 0;
  return () => (index < count ? Promise.reject(error(index++)) : Promise.resolve("done"));
}

const unavailable = (retryAfterMs?: number): LambdaImgError =>
  new LambdaImgError("REGISTRY_UNAVAILABLE", "later", {
    details: retryAfterMs === undefined ? {} : { retryAfterMs },
  });

test("waits twice as long each time, half of it by chance", async () => {
  for (const [chance, expected] of [
    [0, [500, 1000, 2000, 4000]],
    [0.5, [750, 1500, 3000, 6000]],
  ] as const) {
    const pace = new TestPace();
    pace.chance = chance;
    await expect(
      retry(
        failing(4, () => unavailable()),
        { ...RETRY_DEFAULTS, pace },
        undefined,
      ),
    ).resolves.toBe("done");
    expect(pace.waitsMs).toEqual(expected);
  }
});

test("gives the last error when the budget is used up", async () => {
  const pace = new TestPace();
  const attempt = failing(9, (index) => new LambdaImgError("REGISTRY_UNAVAILABLE", `failure ${index}`));
  await expect(retry(attempt, { ...RETRY_DEFAULTS, pace }, undefined)).rejects.toThrow("failure 4");
  expect(pace.waitsMs).toHaveLength(4);
});

test("the delay has a cap", async () => {
  const pace = new TestPace();
  const settings = { ...RETRY_DEFAULTS, attemptCountMax: 12, pace };
  await retry(
    failing(11, () => unavailable()),
    settings,
    undefined,
  );
  expect(Math.max(...pace.waitsMs)).toBe(RETRY_DEFAULTS.delayMsMax / 2);
});

test("Retry-After lengthens the delay, up to a cap", async () => {
  const pace = new TestPace();
  await retry(
    failing(1, () => unavailable(7000)),
    { ...RETRY_DEFAULTS, pace },
    undefined,
  );
  await retry(
    failing(1, () => unavailable(1)),
    { ...RETRY_DEFAULTS, pace },
    undefined,
  );
  await retry(
    failing(1, () => unavailable(1e12)),
    { ...RETRY_DEFAULTS, pace },
    undefined,
  );
  expect(pace.waitsMs).toEqual([7000, 500, RETRY_DEFAULTS.retryAfterMsMax]);
});

test.each(["REGISTRY_FORBIDDEN", "DIGEST_MISMATCH", "REGISTRY_INVALID", "SOURCE_NOT_FOUND"] as const)(
  "%s is final",
  async (code) => {
    const pace = new TestPace();
    const attempt = failing(1, () => new LambdaImgError(code, "final"));
    await expect(retry(attempt, { ...RETRY_DEFAULTS, pace }, undefined)).rejects.toMatchObject({ code });
    expect(pace.waitsMs).toEqual([]);
  },
);

test("a bug is final", async () => {
  const attempt = failing(1, () => new TypeError("bug"));
  await expect(retry(attempt, { ...RETRY_DEFAULTS, pace: new TestPace() }, undefined)).rejects.toThrow(
    TypeError,
  );
});

test("whoever cancels waits no longer", async () => {
  const abort = new AbortController();
  const pace = new TestPace();
  const wait = (): Promise<void> => {
    abort.abort();
    return Promise.resolve();
  };
  const settings = { ...RETRY_DEFAULTS, pace: { now: pace.now, random: pace.random, wait } };
  await expect(
    retry(
      failing(1, () => unavailable()),
      settings,
      abort.signal,
    ),
  ).rejects.toMatchObject({
    code: "CANCELLED",
  });
});

test.each([
  ["0", 0],
  ["120", 120_000],
  [" 3 ", 3000],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 7000],
  ["Sun, 06 Nov 1994 08:49:00 GMT", 0],
  [undefined, undefined],
  ["", undefined],
  ["-1", undefined],
  ["1.5", undefined],
  ["soon", undefined],
  ["99999999999999", undefined],
  ["Sun, 06 Nix 1994 08:49:37 GMT", undefined],
  ["1994-11-06T08:49:37Z", undefined],
] as const)("Retry-After: %s", (field, expected) => {
  expect(parseRetryAfter(field, Date.UTC(1994, 10, 6, 8, 49, 30))).toBe(expected);
});
