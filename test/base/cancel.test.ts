import { expect, test } from "vitest";

import { cancelled, throwIfCancelled, unlessAborted } from "../../src/base/cancel.ts";

test("work is waited for until the signal comes, and its failure after that is nobody's", async () => {
  const signal = new AbortController();
  expect(await unlessAborted(Promise.resolve(1), signal.signal)).toBe(1);
  await expect(unlessAborted(Promise.reject(new Error("its own")), signal.signal)).rejects.toThrow("its own");
  let fail = (): void => undefined;
  const work = new Promise<never>((_, reject) => {
    fail = () => {
      reject(new Error("late"));
    };
  });
  const waiting = unlessAborted(work, signal.signal);
  signal.abort();
  await expect(waiting).rejects.toMatchObject({ code: "CANCELLED", kind: cancelled().kind });
  await expect(unlessAborted(work, signal.signal)).rejects.toMatchObject({ code: "CANCELLED" });
  fail();
  await new Promise((resolve) => setImmediate(resolve));
  const own = Promise.resolve(2);
  expect(unlessAborted(own, undefined)).toBe(own);
});

test("what has not been cancelled goes on; what has says why", () => {
  const abort = new AbortController();
  throwIfCancelled(undefined);
  throwIfCancelled(abort.signal);
  abort.abort("enough");
  expect(() => {
    throwIfCancelled(abort.signal);
  }).toThrow(expect.objectContaining({ code: "CANCELLED", cause: "enough" }));
});
