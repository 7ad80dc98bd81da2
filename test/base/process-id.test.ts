import { spawnSync } from "node:child_process";

import { expect, test } from "vitest";

import { isProcessRunning } from "../../src/base/process-id.ts";

test("this process runs, and the first of all, which belongs to somebody", () => {
  expect([process.pid, 1].map(isProcessRunning)).toEqual([true, true]);
});

test("a process that has ended does not run", () => {
  expect(isProcessRunning(spawnSync("true").pid)).toBe(false);
});

test.each([0, -1, 1.5, Number.NaN, 2 ** 60])(
  "%d is no process, and nobody is asked for a group of them",
  (id) => {
    expect(isProcessRunning(id)).toBe(false);
  },
);
