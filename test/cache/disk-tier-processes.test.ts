/** Several processes on one cache directory, some of which are killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";

import { expect, onTestFinished, test } from "vitest";

import { DISK_TIER_BYTES_MIN, DiskTier } from "../../src/cache/disk-tier.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { madeChunk } from "./_chunks.ts";

const FILLER = path.resolve(import.meta.dirname, "_filler.mjs");
const isBuilt = existsSync(path.resolve(import.meta.dirname, "../../dist/cache/disk-tier.js"));
const CHUNKS_MAX = 128;

interface Ended {
  readonly found: Readonly<Record<"hit" | "miss" | "corrupt" | "failed" | "wrong" | "unstored", number>>;
  readonly problems: readonly string[];
}

function startFiller(directory: string, numbers: readonly number[]): ReturnType<typeof spawn> {
  const args = [FILLER, directory, String(DISK_TIER_BYTES_MIN), ...numbers.map(String)];
  return spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
}

async function fill(directory: string, numbers: readonly number[]): Promise<Ended> {
  const child = startFiller(directory, numbers);
  let stdout = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  await once(child, "close");
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Ended;
}

function makeDirectory(): string {
  const temporary = temporaryDirectory();
  onTestFinished(temporary.remove);
  return path.join(temporary.path, "cache");
}

function namesIn(directory: string): string[] {
  return readdirSync(path.join(directory, "chunks-v1"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
}

test.skipIf(!isBuilt)(
  "four processes share a directory: no wrong byte, no failure, and the bound holds",
  async () => {
    const directory = makeDirectory();
    const starts = [0, 60, 120, 180];
    const ended = await Promise.all(starts.map((first) => fill(directory, [first, 120, 3])));
    for (const { found, problems } of ended) {
      expect(found).toMatchObject({ corrupt: 0, failed: 0, wrong: 0, unstored: 0 });
      expect(problems).toEqual([]);
      expect(found.hit).toBeGreaterThan(0);
    }
    const chunks = namesIn(directory).filter((name) => name.length === 64);
    // Each process may put one chunk into each of the 16 sets before it counts again.
    expect(chunks.length).toBeLessThanOrEqual(CHUNKS_MAX + 16 * (starts.length - 1));
    expect(namesIn(directory).filter((name) => !/^[0-9a-f]{64}(\.seen)?$/.test(name))).toEqual([]);
  },
);

test.skipIf(!isBuilt)(
  "a process that is killed while it fills leaves whole chunks, and what the next start removes",
  async () => {
    const directory = makeDirectory();
    const rubbish: number[] = [];
    for (let turn = 0; turn < 8; turn++) {
      const child = startFiller(directory, [turn * 1000, 1000, 1]);
      let puts = 0;
      for await (const piece of child.stdout!) {
        puts += String(piece).split("\n").length - 1;
        if (puts >= 20 + turn) child.kill("SIGKILL");
      }
      rubbish.push(readdirSync(path.join(directory, "chunks-v1", "tmp")).length);
    }
    const tier = await DiskTier.open({ path: directory, maxBytes: DISK_TIER_BYTES_MIN });
    expect(readdirSync(path.join(directory, "chunks-v1", "tmp"))).toEqual([]);
    // The start of each process removes what the one before has left.
    expect(Math.max(...rubbish)).toBeLessThanOrEqual(1);
    const outcomes = new Set<string>();
    for (let turn = 0; turn < 8; turn++) {
      for (let seed = turn * 1000; seed < turn * 1000 + 30; seed++) {
        outcomes.add((await tier.get(madeChunk(seed).name)).outcome);
      }
    }
    expect(outcomes).toEqual(new Set(["hit", "miss"]));
    await tier.close();
  },
);
