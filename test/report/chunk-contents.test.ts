import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ImageDevice } from "../../src/device/image-device.ts";
import { readImageContents, type ImageContents } from "../../src/report/chunk-contents.ts";
import { CHUNK_BLOCKS } from "../../src/report/disk-regions.ts";
import { describeWith, run } from "../support/judge.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { convertAs, noise, openTestStore, type TestStore } from "./_store.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";

const LONG_TARGET = "t".repeat(90);

/** Small files, large ones, one of many extents, one with two names, directories of more than a block. */
function layer(): Uint8Array {
  const tar = tarBuilder().file("large", noise(1, 1_800_000)).dir("many");
  for (let i = 0; i < 300; i++) tar.file(`many/file-with-a-name-${i}`, noise(i, 1 + i * 20));
  tar
    .symlink("long", LONG_TARGET)
    .symlink("short", "large")
    .hardlink("other-name", "many/file-with-a-name-299");
  tar.file("attributes", "x").file("empty", "");
  const parts = Array.from({ length: 12 }, (_, i) => ({ offset: i * 16384, bytes: noise(i, 4096) }));
  tar.sparse("pax-1.0", { path: "sparse", realSize: 12 * 16384, parts });
  return tar.end();
}

describe("contents of chunks", () => {
  let place: TestStore;
  let content: ManifestContent;
  let read: ImageContents;
  beforeAll(async () => {
    place = await openTestStore();
    ({ content } = await convertAs(place, "app", [layer()]));
    read = await readImageContents(place.store, content, { keptMax: 10_000, isWanted: () => true });
  });
  afterAll(() => place.close());

  /** Chunk index to bytes, of one path. */
  function chunksOf(name: string): Map<number, number> {
    const found = new Map<number, number>();
    for (const [chunkIndex, { kept }] of read.contents) {
      if (read.regions.at(chunkIndex)?.kind === "inodes") continue;
      for (const { path: shown, sizeBytes } of kept) {
        if (shown === `/${name}`) found.set(chunkIndex, (found.get(chunkIndex) ?? 0) + sizeBytes);
      }
    }
    return found;
  }

  describeWith(["debugfs"], "and debugfs", () => {
    async function ask(requests: readonly string[]): Promise<string[]> {
      const file = path.join(place.directory, "disk.ext4");
      const device = new ImageDevice(place.store, content);
      writeFileSync(file, await device.read(0, device.sizeBytes));
      const commands = path.join(place.directory, "commands");
      writeFileSync(commands, requests.map((request) => `${request}\n`).join(""));
      const told = await run("debugfs", ["-f", commands, file]);
      return told.split(/^debugfs: .*\n/m).slice(1);
    }

    test("agree where every file, directory and long symlink has its blocks", async () => {
      const names = ["large", "many", "long", "sparse", "empty"];
      for (let i = 0; i < 300; i++) names.push(`many/file-with-a-name-${i}`);
      // `-l`: leaves only, since blocks of extent trees are nobody's content.
      const told = await ask(names.map((name) => `dump_extents -l /${name}`));
      expect(told.length).toBe(names.length);
      for (const [index, name] of names.entries()) {
        const expected = new Map<number, number>();
        for (const [, from, to] of (told[index] ?? "").matchAll(/ (\d+) - +(\d+) +\d+ *$/gm)) {
          for (let block = Number(from); block <= Number(to); block++) {
            const chunkIndex = Math.floor(block / CHUNK_BLOCKS);
            expected.set(chunkIndex, (expected.get(chunkIndex) ?? 0) + 4096);
          }
        }
        expect([name, chunksOf(name)]).toEqual([name, expected]);
      }
      expect(chunksOf("large").size).toBeGreaterThan(3);
      expect([...chunksOf("sparse").values()]).toEqual([12 * 4096]);
      expect(chunksOf("empty").size).toBe(0);
    });

    test("agree which chunk has an inode", async () => {
      const names = ["large", "short", "many/file-with-a-name-7"];
      const told = await ask(names.map((name) => `imap /${name}`));
      for (const [index, name] of names.entries()) {
        const block = Number(/located at block (\d+)/.exec(told[index] ?? "")?.[1]);
        const chunkIndex = Math.floor(block / CHUNK_BLOCKS);
        expect(read.regions.at(chunkIndex)?.kind).toBe("inodes");
        const paths = read.contents.get(chunkIndex)?.kept.map(({ path: shown }) => shown);
        expect(paths).toContain(`/${name}`);
      }
    });
  });

  test("count an inode with two names once", () => {
    const all = [...read.contents.values()].flatMap(({ kept }) => kept.map(({ path: shown }) => shown));
    expect(all).toContain("/many/file-with-a-name-299");
    expect(all).not.toContain("/other-name");
  });

  test("keep the largest parts only, and count the rest", async () => {
    const some = await readImageContents(place.store, content, { keptMax: 3, isWanted: () => true });
    expect(some.contents.size).toBe(read.contents.size);
    for (const [chunkIndex, { kept, pathCount }] of read.contents) {
      expect(kept.length).toBe(pathCount);
      expect(some.contents.get(chunkIndex)).toEqual({ kept: kept.slice(0, 3), pathCount });
    }
  });

  test("are read of the wanted chunks only", async () => {
    const one = await readImageContents(place.store, content, {
      keptMax: 3,
      isWanted: (index) => index === 1,
    });
    expect([...one.contents.keys()]).toEqual([1]);
  });

  test("are not read to the end by who was told to stop", async () => {
    const signal = AbortSignal.abort();
    const reading = readImageContents(place.store, content, { keptMax: 3, isWanted: () => true, signal });
    await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
  });
});
