import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { chmodSync, linkSync, renameSync, rmSync } from "node:fs";
import path from "node:path";

import { beforeEach, describe, expect, test } from "vitest";

import { CHUNK_BYTES, chunkNameOf } from "../../src/chunk/chunk.ts";
import { DISK_TIER_BYTES_MIN, DiskTier } from "../../src/cache/disk-tier.ts";
import { run, testWith } from "../support/judge.ts";
import { chunksOfSet, madeChunk, type MadeChunk } from "./_chunks.ts";
import { fileIn, newTestPlace, openTestTier } from "./_tier.ts";

let directory: string;
let problems: string[];
let nowMs: number;

beforeEach(() => {
  ({ directory, problems, nowMs } = newTestPlace());
});

function openTier(where = directory): Promise<DiskTier> {
  return openTestTier(where, { problems, nowMs: () => nowMs });
}

const fileOf = (chunk: MadeChunk): string => fileIn(directory, chunk);

function filesUnder(where: string): string[] {
  return readdirSync(where, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ name }) => name);
}

function chunkCount(): number {
  return filesUnder(directory).filter((name) => name.length === 64).length;
}

/** Puts the chunks one after another, with time between them. */
async function putAll(tier: DiskTier, chunks: readonly MadeChunk[]): Promise<void> {
  for (const chunk of chunks) {
    nowMs += 60_000;
    await tier.put(chunk.name, chunk.sealed);
  }
}

/** Reads what is there, some time later, and waits until the visit is noted. */
async function visit(tier: DiskTier, chunk: MadeChunk): Promise<string> {
  nowMs += 60_000;
  const { outcome } = await tier.get(chunk.name);
  await tier.close();
  return outcome;
}

test("a chunk comes back as it was put, to another process's tier, too", async () => {
  const tier = await openTier();
  const { name, sealed } = madeChunk(1);
  expect(await tier.get(name)).toEqual({ outcome: "miss" });
  expect(await tier.put(name, sealed)).toBe("stored");
  expect(await tier.put(name, sealed)).toBe("stored");
  for (const each of [tier, await openTier()]) {
    const answer = await each.get(name);
    expect(answer.outcome === "hit" && Buffer.compare(answer.sealed, sealed)).toBe(0);
  }
  expect(problems).toEqual([]);
});

test("files and directories are this user's alone, and hold the sealed chunk and nothing else", async () => {
  const chunk = madeChunk(2);
  await (await openTier()).put(chunk.name, chunk.sealed);
  const found = filesUnder(directory);
  expect(found).toEqual([chunk.name]);
  expect(chunkNameOf(readFileSync(fileOf(chunk)))).toBe(chunk.name);
  expect(statSync(fileOf(chunk)).mode & 0o777).toBe(0o600);
  const ours = path.join(directory, "chunks-v1");
  for (const each of [ours, path.join(ours, "tmp"), path.dirname(fileOf(chunk))]) {
    expect(statSync(each).mode & 0o777).toBe(0o700);
  }
});

describe("a file that is not its chunk is removed, and nothing of it is given:", () => {
  const other = madeChunk(99);
  test.each<[string, (file: string) => unknown]>([
    [
      "a bit has changed",
      (file) => {
        changeByte(file, 77);
      },
    ],
    [
      "the last bit has changed",
      (file) => {
        changeByte(file, CHUNK_BYTES - 1);
      },
    ],
    [
      "it is empty",
      (file) => {
        truncateSync(file, 0);
      },
    ],
    [
      "it is cut",
      (file) => {
        truncateSync(file, CHUNK_BYTES - 1);
      },
    ],
    [
      "it is too long",
      (file) => {
        truncateSync(file, CHUNK_BYTES + 1);
      },
    ],
    [
      "it is another chunk",
      (file) => {
        writeFileSync(file, other.sealed);
      },
    ],
    [
      "it is a pipe that nobody writes to",
      (file) => {
        rmSync(file);
        return run("mkfifo", [file]);
      },
    ],
  ])("%s", async (_, damage) => {
    const tier = await openTier();
    const chunk = madeChunk(3);
    await tier.put(chunk.name, chunk.sealed);
    await damage(fileOf(chunk));
    expect(await tier.get(chunk.name)).toEqual({ outcome: "corrupt" });
    expect(filesUnder(directory)).toEqual([]);
    expect(await tier.get(chunk.name)).toEqual({ outcome: "miss" });
    await tier.put(chunk.name, chunk.sealed);
    expect((await tier.get(chunk.name)).outcome).toBe("hit");
  });

  test("it is a link to a file elsewhere, which stays as it is", async () => {
    const tier = await openTier();
    const chunk = madeChunk(3);
    const outside = path.join(path.dirname(directory), "outside");
    writeFileSync(outside, chunk.sealed);
    symlinkSync(outside, fileOf(chunk));
    expect(await tier.get(chunk.name)).toEqual({ outcome: "corrupt" });
    symlinkSync(outside, fileOf(chunk));
    expect(await tier.put(chunk.name, madeChunk(3).sealed)).toBe("stored");
    expect(statSync(fileOf(chunk)).ino).not.toBe(statSync(outside).ino);
    expect(chunkNameOf(readFileSync(outside))).toBe(chunk.name);
  });
});

function changeByte(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = bytes[at]! ^ 0x10;
  writeFileSync(file, bytes);
}

describe("the bound", () => {
  test("holds after each put, in all and for each first digit", async () => {
    const tier = await openTier();
    for (let seed = 0; seed < 300; seed++) {
      const chunk = madeChunk(seed);
      await tier.put(chunk.name, chunk.sealed);
      expect(
        readdirSync(path.dirname(fileOf(chunk))).filter((name) => name.length === 64).length,
      ).toBeLessThan(9);
    }
    expect(chunkCount() * CHUNK_BYTES).toBeLessThanOrEqual(DISK_TIER_BYTES_MIN);
    // What is left of dropped chunks is bounded, too.
    expect(filesUnder(directory).length).toBeLessThanOrEqual(3 * 128);
  });

  test("holds after the start where it was larger before", async () => {
    const larger = await DiskTier.open({ path: directory, maxBytes: 2 * DISK_TIER_BYTES_MIN });
    for (const chunk of chunksOfSet("5", 16)) await larger.put(chunk.name, chunk.sealed);
    expect(chunkCount()).toBe(16);
    await openTier();
    expect(chunkCount()).toBeLessThanOrEqual(8);
  });

  test("drops what was used once before what was used twice, across restarts", async () => {
    const [hot, ...others] = chunksOfSet("a", 20);
    const first = await openTier();
    await first.put(hot!.name, hot!.sealed);
    expect(await visit(first, hot!)).toBe("hit");
    await putAll(first, others.slice(0, 9));
    const second = await openTier();
    await putAll(second, others.slice(9));
    expect(await visit(second, hot!)).toBe("hit");
    expect(await visit(second, others[0]!)).toBe("miss");
  });

  test("takes visits that follow each other closely for one", async () => {
    const [burst, ...others] = chunksOfSet("c", 12);
    const tier = await openTier();
    await tier.put(burst!.name, burst!.sealed);
    for (let turn = 0; turn < 3; turn++) {
      nowMs += 1000;
      await tier.get(burst!.name);
    }
    await putAll(tier, others);
    expect(await visit(tier, burst!)).toBe("miss");
  });

  test("remembers of a chunk that it was there, so that the second use counts", async () => {
    const [back, ...others] = chunksOfSet("b", 26);
    const tier = await openTier();
    await tier.put(back!.name, back!.sealed);
    await putAll(tier, others.slice(0, 9));
    expect(await visit(tier, back!)).toBe("miss");
    await tier.put(back!.name, back!.sealed);
    await putAll(tier, others.slice(9));
    expect(await visit(tier, back!)).toBe("hit");
  });
});

describe("a directory that cannot be used is told of once, and nothing is thrown:", () => {
  // Node's recursive mkdir takes the system's answer for a missing directory above, makes that, and tries again for ever.
  test.skipIf(process.platform !== "linux")("one that takes no directories", async () => {
    const tier = await openTier("/proc/no/cache");
    const { name, sealed } = madeChunk(4);
    expect(await tier.put(name, sealed)).toBe("failed");
    expect(problems).toEqual([expect.stringContaining("/proc/no: it cannot be made")]);
  });

  test.each<[string, () => void, RegExp]>([
    [
      "a link",
      () => {
        symlinkSync("/tmp", path.join(directory, "chunks-v1"));
      },
      /expected a directory, found none/,
    ],
    [
      "a file",
      () => {
        writeFileSync(path.join(directory, "chunks-v1"), "");
      },
      /expected a directory, found none/,
    ],
    [
      "open to others",
      () => {
        mkdirSync(path.join(directory, "chunks-v1"), { mode: 0o755 });
      },
      /of this user alone/,
    ],
    [
      "below a file",
      () => {
        rmSync(directory, { recursive: true });
        writeFileSync(directory, "");
      },
      /E[A-Z]+/,
    ],
  ])("%s", async (_, prepare, expected) => {
    mkdirSync(directory);
    prepare();
    if (expected.source.includes("alone")) chmodSync(path.join(directory, "chunks-v1"), 0o755);
    const tier = await openTier();
    const { name, sealed } = madeChunk(4);
    expect(await tier.put(name, sealed)).toBe("failed");
    expect(await tier.get(name)).toEqual({ outcome: "failed" });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(expected);
  });

  test("what a set's directory links to is left alone", async () => {
    await openTier();
    const set = path.join(directory, "chunks-v1", "7");
    const elsewhere = path.join(path.dirname(directory), "elsewhere");
    renameSync(set, elsewhere);
    symlinkSync(elsewhere, set);
    expect(await (await openTier()).put(chunksOfSet("7", 1)[0]!.name, madeChunk(0).sealed)).toBe("failed");
    expect(readdirSync(elsewhere)).toEqual([]);
  });
});

test("files that a process of before has left are removed, those of one that runs are not", async () => {
  await openTier();
  const temporary = path.join(directory, "chunks-v1", "tmp");
  const gone = ["rubbish", "4194999-aaaaaa-0", `${process.pid}-of-before-3`];
  for (const name of [...gone, "1-bbbbbb-0"]) writeFileSync(path.join(temporary, name), "half");
  await openTier();
  expect(readdirSync(temporary)).toEqual(["1-bbbbbb-0"]);
});

test("a directory that is removed while it is used is missed, and no more", async () => {
  const tier = await openTier();
  const { name, sealed } = madeChunk(6);
  await tier.put(name, sealed);
  rmSync(directory, { recursive: true });
  expect(await tier.get(name)).toEqual({ outcome: "miss" });
  expect(await tier.put(name, sealed)).toBe("failed");
  expect(problems).toEqual([`cache ${directory}: chunks cannot be kept: ENOENT`]);
  await openTier();
  expect(await tier.put(name, sealed)).toBe("stored");
});

test("a chunk with a second name elsewhere is dropped here only", async () => {
  const tier = await openTier();
  const chunk = madeChunk(5);
  await tier.put(chunk.name, chunk.sealed);
  const second = path.join(path.dirname(directory), "second");
  linkSync(fileOf(chunk), second);
  changeByte(second, 0);
  expect((await tier.get(chunk.name)).outcome).toBe("corrupt");
  expect(statSync(second).size).toBe(CHUNK_BYTES);
});

testWith(
  ["mount"],
  "a disk that is full, or becomes read-only, costs no more than what could have been kept",
  async () => {
    const where = path.join(path.dirname(directory), "disk");
    mkdirSync(where);
    await run("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", where]);
    try {
      const tier = await openTier(where);
      const chunks = Array.from({ length: 12 }, (_, seed) => madeChunk(seed));
      const outcomes: string[] = [];
      for (const { name, sealed } of chunks) outcomes.push(await tier.put(name, sealed));
      expect(new Set(outcomes)).toEqual(new Set(["stored", "failed"]));
      expect(problems).toEqual([`cache ${where}: chunks cannot be kept: ENOSPC`]);
      const there = chunks.filter((_, index) => outcomes[index] === "stored");
      expect(filesUnder(where).length).toBe(there.length);
      for (const chunk of there) expect(await visit(tier, chunk)).toBe("hit");
      await run("mount", ["-o", "remount,ro", where]);
      const reader = await openTier(where);
      for (const chunk of there) expect(await visit(reader, chunk)).toBe("hit");
      const lost = chunks.find(({ name }) => !filesUnder(where).includes(name))!;
      expect(await reader.put(lost.name, lost.sealed)).toBe("failed");
      expect(problems.slice(1)).toEqual([`cache ${where}: chunks cannot be kept: EROFS`]);
    } finally {
      await run("umount", [where]);
    }
  },
);
