/** Where chunks are written past the page cache, and what becomes of them where that is refused. */
import { execFileSync } from "node:child_process";
import type * as Fs from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CHUNK_BYTES, chunkNameOf } from "../../src/chunk/chunk.ts";
import { ChunkWriter, type ChunkWriterPlace } from "../../src/store/chunk-writer.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { codeOf, madeChunk } from "../contract/store.ts";
import { describeWith, run, withMount } from "../support/judge.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

/** What the kernel is made to say here. */
const kernel = vi.hoisted(() => ({
  type: undefined as number | undefined,
  /** The file system takes the flag, whatever it is. */
  takesDirect: false,
  writes: [] as ("EINVAL" | "EIO" | "ENOSPC" | number)[],
}));

type WriteCall = [
  descriptor: number,
  bytes: Uint8Array,
  from: number,
  length: number,
  at: number,
  done: (error: Error | null, sizeBytes: number) => void,
];

vi.mock("node:fs", async (load) => {
  const real = await load<typeof Fs>();
  return {
    ...real,
    statfsSync: (path: string) => {
      const found = real.statfsSync(path);
      return kernel.type === undefined ? found : Object.assign(found, { type: kernel.type });
    },
    openSync: (path: string, flags: string | number) => {
      const isTaken = kernel.takesDirect && typeof flags === "number";
      return real.openSync(path, isTaken ? flags & ~real.constants.O_DIRECT : flags);
    },
    write: (...[descriptor, bytes, from, length, at, done]: WriteCall) => {
      const answer = kernel.writes.shift();
      if (typeof answer === "string") done(Object.assign(new Error(answer), { code: answer }), 0);
      else real.write(descriptor, bytes, from, answer ?? length, at, done);
    },
  };
});

const EXT4 = 0xef53;

let folder = temporaryDirectory();
beforeEach(() => {
  folder = temporaryDirectory();
  kernel.type = undefined;
  kernel.takesDirect = false;
  kernel.writes = [];
});
afterEach(() => {
  folder.remove();
});

/** Gives `use` a store in the directory, and where a writer of it writes. */
async function withStore(
  directory: string,
  use: (store: DirectoryStore, place: ChunkWriterPlace) => Promise<void>,
): Promise<void> {
  const store = await DirectoryStore.open(join(directory, "store"), { create: true });
  try {
    await use(store, await store.beginWriting());
  } finally {
    await store.close();
  }
}

/** Gives `use` an ext4 file system of so many MiB of its own. */
async function withExt4(megabytes: number, use: (place: string) => Promise<void>): Promise<void> {
  const image = join(folder.path, "disk.ext4");
  await run("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", image, `${megabytes}M`]);
  await withMount(image, { readOnly: false }, use);
}

/** Gives `use` a mount of this kind. */
async function withMounted(
  kind: string,
  options: string | undefined,
  use: (place: string) => Promise<void>,
): Promise<void> {
  const place = join(folder.path, kind);
  await mkdir(place);
  execFileSync("mount", ["-t", kind, ...(options === undefined ? [] : ["-o", options]), kind, place]);
  try {
    await use(place);
  } finally {
    execFileSync("umount", [place]);
  }
}

/** Pages of each staged chunk that lie in the page cache. */
async function cachedPages({ sessionDirectory }: ChunkWriterPlace): Promise<number[]> {
  const files = (await readdir(sessionDirectory)).map((name) => join(sessionDirectory, name));
  const said = await run("fincore", ["--noheadings", "--bytes", "--output", "PAGES", ...files]);
  return said.trim().split(/\s+/).map(Number);
}

/** Puts three chunks at once, and one after them; all of them are whole. */
async function expectWhole(store: DirectoryStore, place: ChunkWriterPlace): Promise<void> {
  const writer = new ChunkWriter(place);
  const chunks = [1, 2, 3, 4].map(madeChunk);
  const put = async ({ name, sealed }: (typeof chunks)[number]): Promise<void> => {
    const given = sealed.slice();
    const outcome = writer.putChunk(name, given);
    given.fill(0); // The writer has taken what it needs.
    expect(await outcome).toBe("stored");
  };
  await Promise.all(chunks.slice(0, 3).map(put));
  await put(chunks[3]!);
  expect(await readdir(place.sessionDirectory)).toHaveLength(4);
  for (const { name } of chunks) {
    expect(chunkNameOf(await readFile(join(place.sessionDirectory, name)))).toBe(name);
  }
  await store.barrier(chunks.map(({ name }) => name));
  for (const { name } of chunks) expect(chunkNameOf(await store.getChunk(name))).toBe(name);
}

describeWith(["mount", "fincore"], "by the kernel's account", () => {
  test("chunks on ext4 do not come into the page cache", async () => {
    await withExt4(8, (disk) =>
      withStore(disk, async (store, place) => {
        const { name, sealed } = madeChunk(9);
        await new ChunkWriter(place).putChunk(name, sealed);
        expect(await cachedPages(place)).toEqual([0]);
        expect(chunkNameOf(await store.getChunk(name))).toBe(name);
      }),
    );
  });

  test("nor do they on overlayfs, as the disk of a container is", async () => {
    await withExt4(8, async (disk) => {
      const [lower, upper, work] = await Promise.all(
        ["lower", "upper", "work"].map(async (name) => {
          await mkdir(join(disk, name));
          return join(disk, name);
        }),
      );
      await withMounted("overlay", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, (merged) =>
        withStore(merged, async (_, place) => {
          const { name, sealed } = madeChunk(9);
          await new ChunkWriter(place).putChunk(name, sealed);
          expect(await cachedPages(place)).toEqual([0]);
        }),
      );
    });
  });

  test("on tmpfs, where there is nothing else, they do", async () => {
    await withMounted("tmpfs", undefined, (disk) =>
      withStore(disk, async (_, place) => {
        const { name, sealed } = madeChunk(9);
        await new ChunkWriter(place).putChunk(name, sealed);
        expect(await cachedPages(place)).toEqual([CHUNK_BYTES / 4096]);
      }),
    );
  });

  test("a full disk is full, and nothing half stays", async () => {
    await withExt4(4, (disk) =>
      withStore(disk, async (store, place) => {
        const writer = new ChunkWriter(place);
        const outcomes = await Promise.all(
          Array.from({ length: 12 }, (_, seed) => madeChunk(seed)).map(async ({ name, sealed }) => ({
            name,
            code: await codeOf(writer.putChunk(name, sealed)),
          })),
        );
        const stored = outcomes.filter(({ code }) => code === "no failure").map(({ name }) => name);
        expect(stored.length).toBeGreaterThan(3);
        expect(new Set(outcomes.map(({ code }) => code))).toEqual(new Set(["no failure", "STORE_FULL"]));
        expect(new Set(await readdir(place.sessionDirectory))).toEqual(new Set(stored));
        for (const name of stored) expect(chunkNameOf(await store.getChunk(name))).toBe(name);
      }),
    );
  });

  test("a file system that refuses it at the first file is written through the page cache", async () => {
    kernel.type = EXT4; // As if; ramfs says EINVAL, and has made the file by then.
    await withMounted("ramfs", undefined, (disk) => withStore(disk, expectWhole));
  });
});

describe.skipIf(process.platform !== "linux")("past the page cache (needs Linux)", () => {
  beforeEach(() => {
    kernel.type = EXT4;
    kernel.takesDirect = true;
  });

  test("a write that the kernel cuts short goes on", async () => {
    kernel.writes = [4096, 65536];
    await withStore(folder.path, expectWhole);
    expect(kernel.writes).toEqual([]);
  });

  test("a write that is refused goes through the page cache, and so do those after it", async () => {
    kernel.writes = ["EINVAL", 8192, "EINVAL"];
    await withStore(folder.path, expectWhole);
    expect(kernel.writes).toEqual([]);
    kernel.writes = ["EINVAL", "EIO"];
    await withStore(join(folder.path, "other"), async (_, place) => {
      const writer = new ChunkWriter(place);
      for (const { name, sealed } of [1, 2].map(madeChunk)) await writer.putChunk(name, sealed);
    });
    expect(kernel.writes).toEqual(["EIO"]);
  });

  test.each([["ENOSPC", "STORE_FULL"] as const, ["EIO", "STORE_UNAVAILABLE"] as const])(
    "a write that fails with %s leaves nothing, and the next one is whole",
    async (errno, code) => {
      kernel.writes = [8192, errno];
      await withStore(folder.path, async (store, place) => {
        const { name, sealed } = madeChunk(9);
        expect(await codeOf(new ChunkWriter(place).putChunk(name, sealed))).toBe(code);
        expect(await readdir(place.sessionDirectory)).toEqual([]);
        await expectWhole(store, place);
      });
    },
  );
});
