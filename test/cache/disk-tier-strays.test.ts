/** What somebody else has put where files of the disk tier belong. */
import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import type { DiskTier } from "../../src/cache/disk-tier.ts";
import { chunksOfSet, madeChunk, type MadeChunk } from "./_chunks.ts";
import { fileIn, newTestPlace, openTestTier } from "./_tier.ts";

let directory: string;
let problems: string[];
let nowMs: number;

beforeEach(() => {
  ({ directory, problems, nowMs } = newTestPlace());
});

function openTier(): Promise<DiskTier> {
  return openTestTier(directory, { problems, nowMs: () => nowMs });
}

const fileOf = (chunk: MadeChunk): string => fileIn(directory, chunk);

describe("what is no file, where chunks and marks of them belong:", () => {
  const set = (): string => path.join(directory, "chunks-v1", "b");
  const strange = (count: number, suffix: string): string[] =>
    Array.from({ length: count }, (_, at) => path.join(set(), `b${String(at).padStart(63, "0")}${suffix}`));
  const regular = (): number =>
    readdirSync(set(), { withFileTypes: true }).filter((entry) => entry.isFile() && entry.name.length === 64)
      .length;

  test.each<[string, (file: string) => void, string, number]>([
    [
      "empty directories named like chunks go",
      (file) => {
        mkdirSync(file);
      },
      "",
      0,
    ],
    [
      "full directories named like chunks stay",
      (file) => mkdirSync(path.join(file, "x"), { recursive: true }),
      "",
      20,
    ],
    [
      "links named like chunks go",
      (file) => {
        symlinkSync("/", file);
      },
      "",
      0,
    ],
    [
      "empty directories named like marks go",
      (file) => {
        mkdirSync(file);
      },
      ".seen",
      0,
    ],
    [
      "full directories named like marks stay",
      (file) => mkdirSync(path.join(file, "x"), { recursive: true }),
      ".seen",
      20,
    ],
  ])("%s, and the bound holds", async (_, make, suffix, leftCount) => {
    const tier = await openTier();
    const planted = strange(20, suffix);
    for (const file of planted) make(file);
    const chunks = chunksOfSet("b", 20);
    for (const chunk of chunks) {
      nowMs += 60_000;
      expect(await tier.put(chunk.name, chunk.sealed)).toBe("stored");
      expect(regular()).toBeLessThan(9);
    }
    expect((await tier.get(chunks.at(-1)!.name)).outcome).toBe("hit");
    expect(planted.filter((file) => lstatSync(file, { throwIfNoEntry: false }) !== undefined).length).toBe(
      leftCount,
    );
    expect(problems).toEqual([]);
  });

  test("the mark of a chunk that comes is a directory with something in it: the bound holds", async () => {
    const tier = await openTier();
    for (const chunk of chunksOfSet("b", 20)) {
      mkdirSync(path.join(`${fileOf(chunk)}.seen`, "x"), { recursive: true });
      await tier.put(chunk.name, chunk.sealed);
      expect(regular()).toBeLessThan(9);
    }
    expect(problems).toEqual([]);
  });

  test("an empty directory in a chunk's place is removed when the chunk is asked for", async () => {
    const tier = await openTier();
    const { name, sealed } = madeChunk(7);
    mkdirSync(fileOf({ name, sealed }));
    expect(await tier.get(name)).toEqual({ outcome: "corrupt" });
    expect(await tier.put(name, sealed)).toBe("stored");
  });
});

test("a directory among temporary files goes if it is empty, and keeps none of the others", async () => {
  await openTier();
  const temporary = path.join(directory, "chunks-v1", "tmp");
  mkdirSync(path.join(temporary, "a-empty"));
  mkdirSync(path.join(temporary, "b-full", "x"), { recursive: true });
  for (const name of ["0-rubbish", "c-rubbish", "z-rubbish"])
    writeFileSync(path.join(temporary, name), "half");
  await openTier();
  expect(readdirSync(temporary)).toEqual(["b-full"]);
});
