/** The benchmark of devices says how it is used, and its delay sees what the server reads of the store. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { afterAll, describe, expect, test } from "vitest";

import { isBuilt } from "../support/cli-run.ts";
import { run, testWith } from "../support/judge.ts";

const TOP = path.resolve(import.meta.dirname, "../..");
const SCRIPT = path.join(import.meta.dirname, "device.mjs");
const PROGRAM = path.join(TOP, "bin/lambda-img");

const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-device-test-"));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

function runScript(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [SCRIPT, ...args], {
    encoding: "utf8",
    env: { ...process.env, TMPDIR: work },
  });
}

// Its helpers import what is built.
describe.skipIf(!isBuilt)("bench:device (needs npm run build)", () => {
  test("says how it is used", () => {
    const { status, stdout, stderr } = runScript("--help");
    expect([status, stdout, stderr]).toEqual([
      0,
      expect.stringMatching(/^usage: npm run bench:device -- /),
      "",
    ]);
  });

  test.each([
    ["--part", "writes"],
    ["--runs", "0"],
    ["--seconds", "0.5"],
    ["--delay", "x"],
    ["--programs", "bash,perl"],
    ["--no-such-option", "x"],
  ])("refuses %s %s", (option, value) => {
    const { status, stdout, stderr } = runScript(`${option}=${value}`);
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringContaining(option)]);
  });

  testWith(["nbdcopy"], "notes each file of the store that the server reads, and no other", async () => {
    const store = path.join(work, "store");
    const log = path.join(work, "opened.txt");
    const places = ["--store", store, "--key", path.join(work, "key.json")];
    const sample = `oci:${path.join(TOP, "fixtures/images/sample")}`;
    const converted = await run(process.execPath, [
      PROGRAM,
      "convert",
      sample,
      "--json",
      "--quiet",
      ...places,
    ]);
    const { chunks } = JSON.parse(converted) as { chunks: { unique: number } };
    writeFileSync(log, "");
    const server = spawn(process.execPath, [PROGRAM, "serve", "sample", "--json", "--quiet", ...places], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        XDG_RUNTIME_DIR: work,
        XDG_CACHE_HOME: path.join(work, "cache"),
        NODE_OPTIONS: `--import="${path.join(import.meta.dirname, "_device-delay.mjs")}"`,
        LAMBDA_BENCH_STORE: store,
        LAMBDA_BENCH_DELAY_MS: "5",
        LAMBDA_BENCH_LOG: log,
      },
    });
    const closed = once(server, "close");
    try {
      const [line] = (await Promise.race([once(server.stdout, "data"), closed])) as [unknown];
      const { uri } = JSON.parse(String(line)) as { uri: string };
      await run("nbdcopy", ["--no-extents", uri, "null:"]);
    } finally {
      server.kill("SIGTERM");
      await closed;
    }
    const opened = readFileSync(log, "utf8").trimEnd().split("\n");
    // All of the disk was read, so each of its chunks was, once.
    expect(opened.filter((file) => file.includes("/chunks/"))).toHaveLength(chunks.unique);
    expect(opened.some((file) => file.includes("/manifests/"))).toBe(true);
    expect(opened.filter((file) => file.startsWith(".."))).toEqual([]);
  });
});
