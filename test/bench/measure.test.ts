/** What a command costs is measured over all of its processes, and a failure is no figure. */
import { platform } from "node:os";

import { describe, expect, test, vi } from "vitest";

import { testWith } from "../support/judge.ts";
import { describeMachine, measure } from "./_measure.mjs";

const MIB = 1 << 20;

/**
 * Two children that hold 96 MiB each, and a parent that works for 0.3 s of CPU while both have theirs: time for several
 * looks at /proc, however slow the machine.
 */
const HOLDERS = `
import os, time
def hold():
    ready, gate = os.pipe(), os.pipe()
    if os.fork() == 0:
        kept = b"x" * (96 << 20)
        os.write(ready[1], b".")
        os.read(gate[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    return gate[1]
gates = [hold(), hold()]
while time.process_time() < 0.3: pass
for gate in gates: os.write(gate, b".")
for gate in gates: os.wait()
`;

describe("the costs of a command", () => {
  test("are numbers", async () => {
    const { wallSeconds, userSeconds, systemSeconds } = await measure(["true"]);
    for (const seconds of [wallSeconds, userSeconds, systemSeconds])
      expect(seconds).toBeGreaterThanOrEqual(0);
  });

  testWith(["python3"], "have the CPU time of processes of its own, as these count it", async () => {
    const spin = "import time\nwhile time.process_time() < 0.3: pass";
    const { userSeconds, systemSeconds } = await measure(["sh", "-c", `python3 -c '${spin}'; true`]);
    expect(userSeconds + systemSeconds).toBeGreaterThanOrEqual(0.3);
  });

  test("are those of Node as it is, whatever this environment asks of it", async () => {
    vi.stubEnv("NODE_OPTIONS", "--no-such-option");
    vi.stubEnv("NODE_EXTRA_CA_CERTS", "/nonexistent");
    try {
      await measure([process.execPath, "-e", "if (process.env.NODE_EXTRA_CA_CERTS) process.exit(1)"]);
      await expect(
        measure([process.execPath, "-e", "0"], { env: { NODE_OPTIONS: "--no" } }),
      ).rejects.toThrow();
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("are none where it fails: what it said is in the error", async () => {
    await expect(measure(["sh", "-c", "echo no such thing >&2; exit 3"])).rejects.toThrow(
      /ended with 3: no such thing/,
    );
  });

  test("are none where it does not exist", async () => {
    await expect(measure(["lambda-img-no-such-program"])).rejects.toThrow(/127/);
  });
});

describe.runIf(platform() === "linux")("peak memory", () => {
  testWith(["python3"], "is the sum over processes that hold theirs at once", async () => {
    const { peakBytes } = await measure(["sh", "-c", 'python3 -c "$0"; true', HOLDERS]);
    expect(peakBytes).toBeGreaterThan(192 * MIB);
    expect(peakBytes).toBeLessThan(300 * MIB);
  });
});

test("the machine is named with processors, memory, system and Node", () => {
  expect(describeMachine()).toMatch(/^\d+ × .+, \d+ GiB of memory, .+, Node v\d+/);
});
