import { expect, test } from "vitest";

import { threadIfGiven } from "../../src/base/thread.ts";

function failing(code: string): () => number {
  return () => {
    throw Object.assign(new Error("EAGAIN"), { code });
  };
}

test("there is none where the system gives none; other failures are what they are", () => {
  expect(threadIfGiven(() => 1)).toBe(1);
  expect(threadIfGiven(failing("ERR_WORKER_INIT_FAILED"))).toBeUndefined();
  const start = failing("ERR_WORKER_PATH");
  expect(() => threadIfGiven(start)).toThrow(/EAGAIN/);
});
