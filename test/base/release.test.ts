import { readFileSync } from "node:fs";
import { platform } from "node:os";

import { expect, test } from "vitest";

import { releaseBytes } from "../../src/base/release.ts";

const MIB = 2 ** 20;

test("empties the bytes and every view of them", () => {
  const bytes = new Uint8Array(16);
  const view = bytes.subarray(4);
  releaseBytes(bytes);
  expect([bytes.length, view.length, bytes.buffer.byteLength]).toEqual([0, 0, 0]);
});

test("can be called again, and with no bytes at all", () => {
  const bytes = new Uint8Array(16);
  releaseBytes(bytes);
  releaseBytes(bytes);
  releaseBytes(new Uint8Array(0));
  expect(bytes.length).toBe(0);
});

test.each([
  ["a part of their memory", new Uint8Array(16).subarray(4)],
  ["memory that threads share", new Uint8Array(new SharedArrayBuffer(16))],
  ["Node's pool", Buffer.from("pooled")],
])("leaves bytes alone that are %s", (_, bytes) => {
  const { length } = bytes;
  releaseBytes(bytes);
  expect(bytes.length).toBe(length);
});

test.runIf(platform() === "linux")("gives the memory back, as the kernel counts it", () => {
  const residentBytes = (): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
  const bytes = new Uint8Array(256 * MIB).fill(1);
  const before = residentBytes();
  releaseBytes(bytes);
  expect(before - residentBytes()).toBeGreaterThan(200 * MIB);
});
