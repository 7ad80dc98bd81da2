import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { readProcessFigures } from "../../src/serve/process-figures.ts";

test("the figures are those that the kernel has", () => {
  // proc_pid_stat(5): after the name in parentheses come the fields from 3 on; 22 is the start, in ticks since boot.
  const fields = readFileSync("/proc/self/stat", "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  const bootSeconds = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
  const residentKib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
  const { startSeconds, uptimeSeconds, cpuSeconds, residentBytes } = readProcessFigures();
  // btime is a whole number, and Node's clock begins a little after the process.
  expect(Math.abs(startSeconds - (bootSeconds + Number(fields[19]) / 100))).toBeLessThan(5);
  expect(uptimeSeconds).toBeGreaterThan(0);
  const kernelCpuSeconds = (Number(fields[11]) + Number(fields[12])) / 100;
  expect(cpuSeconds).toBeGreaterThanOrEqual(kernelCpuSeconds - 0.02);
  expect(residentBytes / (residentKib * 1024)).toBeGreaterThan(0.5);
  expect(residentBytes / (residentKib * 1024)).toBeLessThan(2);
});
