/** The benchmarks' scripts say how they are used, refuse what they do not know, and run on the least that they take. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { afterAll, describe, expect, test } from "vitest";

const TOP = path.resolve(import.meta.dirname, "../..");
const SAMPLE = path.join(TOP, "fixtures/images/sample");
const RECORDING = ["convert", "scale", "micro", "profile"];

const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-scripts-"));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

function runScript(name: string, ...args: string[]) {
  return spawnSync(process.execPath, [path.join(import.meta.dirname, `${name}.mjs`), ...args], {
    encoding: "utf8",
    env: { ...process.env, TMPDIR: work },
  });
}

/** Runs a script that writes its figures, and gives these. */
function figuresOf(name: string, ...args: string[]): unknown {
  const file = path.join(work, `${name}.json`);
  const { status, stderr } = runScript(name, ...args, "--json", file);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return JSON.parse(readFileSync(file, "utf8"));
}

describe.each([...RECORDING, "start", "dedup", "families", "draw"])("%s", (name) => {
  test("says how it is used", () => {
    const { status, stdout, stderr } = runScript(name, "--help");
    expect(stdout).toMatch(/^usage: (npm run bench|node test\/bench)/);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(130);
  });

  test("refuses an option that it does not know", () => {
    const { status, stdout } = runScript(name, "--no-such-option");
    expect(stdout).toBe("");
    expect(status).not.toBe(0);
  });
});

test.each([
  ["convert", "--runs", "0"],
  ["start", "--runs", "x"],
  ["scale", "--axis", "height"],
  ["scale", "--sizes", "1,x"],
  ["scale", "--files", "1.5"],
  ["scale", "--middle", "1,2"],
  ["micro", "--size", "-1"],
  ["micro", "--part", "checksum"],
])("%s refuses %s %s", (name, option, value) => {
  const { status, stderr } = runScript(name, `${option}=${value}`);
  expect(stderr).toContain(option);
  expect(stderr).toContain("usage:");
  expect(status).toBe(2);
});

test.each([...RECORDING, "start"])("%s is a script of package.json, which builds first", (name) => {
  const { scripts } = JSON.parse(readFileSync(path.join(TOP, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const called = name === "convert" ? "bench" : `bench:${name}`;
  expect(scripts[called]).toBe(`npm run --silent build && node test/bench/${name}.mjs`);
});

describe("with the least input", () => {
  const number: unknown = expect.any(Number);
  const spread = { median: number, min: number, max: number };

  test("convert gives a row with all costs", () => {
    const figures = figuresOf("convert", "--image", SAMPLE, "--runs", "1", "--only", "no peer");
    expect(figures).toMatchObject({
      image: { name: "sample" },
      runs: 1,
      rows: [
        {
          name: "lambda-img convert",
          ...{ wallSeconds: spread, userSeconds: spread, systemSeconds: spread, cpuSeconds: spread },
          ratio: { median: 1, min: 1, max: 1 },
        },
      ],
    });
  });

  test("scale gives a point for each image", () => {
    const figures = figuresOf("scale", "--axis", "files", "--files", "3,9", "--runs", "1");
    expect(figures).toMatchObject({
      axes: [
        {
          name: "files",
          points: [
            { x: 3, fileCount: 3, wallSeconds: spread },
            { x: 9, fileCount: 9, wallSeconds: spread },
          ],
        },
      ],
    });
  });

  test("start gives the ratio of each start", () => {
    const { rows } = figuresOf("start", "--runs", "1") as { rows: readonly { name: string }[] };
    expect(rows).toHaveLength(5);
    for (const row of rows) expect(row).toMatchObject({ cpuSeconds: spread, ratio: spread });
    expect(rows[0]).toMatchObject({ name: "node -e 0", ratio: { median: 1 } });
  });

  test.each([
    ["tar", ["tar, large files", "tar, small files"], ["MB/s", "entries/s"]],
    ["inflate", ["inflate"], ["MB/s"]],
    ["sealing", ["sealing a chunk"], ["MB/s"]],
    ["crc32c", ["crc32c", "crc32c: a table of 256 entries"], ["MB/s"]],
    ["flatten", ["flatten, three layers"], ["entries/s"]],
  ])("micro gives the rates of its part %s", (part, names, units) => {
    const { cases } = figuresOf("micro", "--part", part, "--size", "1", "--runs", "1") as {
      cases: unknown[];
    };
    const expected = names.flatMap((name) => units.map((unit) => ({ name, unit, rate: spread })));
    expect(cases).toEqual(expect.arrayContaining(expected));
  });

  test("profile tells of the threads, and of no path here", () => {
    const file = path.join(work, "profile.txt");
    expect(runScript("profile", "--image", SAMPLE, "--out", file).status).toBe(0);
    const text = readFileSync(file, "utf8");
    expect(text).toMatch(/^ +main thread +sealing thread 1\b/m);
    expect(text).toMatch(/^ {2}idle +\d+\.\d\d +\d+\.\d\d\b/m);
    expect(text).not.toContain(TOP);
    expect(text).not.toContain(work);
  });

  test("nothing is left behind", () => {
    const prefixes = ["bench", "scale", "micro", "profile", "measure"].map((name) => `lambda-img-${name}-`);
    expect(readdirSync(work).filter((name) => prefixes.some((prefix) => name.startsWith(prefix)))).toEqual(
      [],
    );
  });
});
