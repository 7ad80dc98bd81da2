import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { compileLater, startThread, threadIfGiven } from "../../src/base/thread.ts";

const hasStarted = vi.fn<() => void>();

beforeEach(() => {
  vi.spyOn(compileLater, "threadStarts").mockReturnValue(hasStarted);
});

afterEach(() => {
  vi.restoreAllMocks();
  hasStarted.mockReset();
});

function fail(code: string): never {
  throw Object.assign(new Error("EAGAIN"), { code });
}

test("there is none where the system gives none; other failures are what they are", () => {
  expect(threadIfGiven(() => 1)).toBe(1);
  expect(threadIfGiven<number>(() => fail("ERR_WORKER_INIT_FAILED"))).toBeUndefined();
  const start = (): number => fail("ERR_WORKER_PATH");
  expect(() => threadIfGiven(start)).toThrow(/EAGAIN/);
});

const ANSWERS =
  "const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => parentPort.postMessage(m));";

test("a thread has started when it says something", async () => {
  const worker = startThread(() => new Worker(ANSWERS, { eval: true }));
  await once(worker, "online");
  expect(hasStarted).not.toHaveBeenCalled();
  worker.postMessage("are you there?");
  await once(worker, "message");
  expect(hasStarted).toHaveBeenCalledOnce();
  await worker.terminate();
});

test("a thread that ends starts no more", async () => {
  const worker = startThread(() => new Worker("", { eval: true }));
  await once(worker, "exit");
  expect(hasStarted).toHaveBeenCalledOnce();
});

test("a thread that the system does not give starts no more", () => {
  const make = (): Worker => fail("ERR_WORKER_INIT_FAILED");
  expect(() => startThread(make)).toThrow(/EAGAIN/);
  expect(hasStarted).toHaveBeenCalledOnce();
});
