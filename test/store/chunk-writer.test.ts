import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { CHUNK_BYTES, chunkNameOf } from "../../src/chunk/chunk.ts";
import { chunkPath, ChunkWriter, type ChunkWriterPlace } from "../../src/store/chunk-writer.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { codeOf, madeChunk } from "../contract/store.ts";

let directory: string;
let store: DirectoryStore;
let place: ChunkWriterPlace;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lambda-img-writer-"));
  store = await DirectoryStore.open(join(directory, "store"), { create: true });
  place = structuredClone(await store.beginWriting());
});

afterEach(async () => {
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

/** Files in the store's directories of sessions: `session/name`. */
const stagedFiles = async (): Promise<readonly string[]> =>
  (await readdir(join(place.chunksDirectory, "..", "tmp"), { recursive: true })).filter((name) =>
    name.includes("/"),
  );

test("a writer stages a chunk once; the barrier puts it into the store", async () => {
  const { name, sealed } = madeChunk(1);
  expect(await new ChunkWriter(place).putChunk(name, sealed)).toBe("stored");
  expect(await new ChunkWriter(place).putChunk(name, sealed)).toBe("present");
  expect(await store.hasChunk(name)).toBe(false);
  expect(chunkNameOf(await store.getChunk(name))).toBe(name);
  await store.barrier([name]);
  expect(await store.hasChunk(name)).toBe(true);
  expect(await new ChunkWriter(place).putChunk(name, sealed)).toBe("present");
  expect(await store.putChunk(name, sealed)).toBe("present");
  expect(chunkNameOf(await store.getChunk(name))).toBe(name);
  expect(await stagedFiles()).toEqual([]);
});

test("a chunk that another session puts into a directory that the writer has made comes to the same file", async () => {
  const { name, sealed } = madeChunk(1);
  const writer = new ChunkWriter(place);
  expect(await writer.putChunk(name, sealed)).toBe("stored");
  const other = await DirectoryStore.open(join(directory, "store"), { create: false });
  await new ChunkWriter(await other.beginWriting()).putChunk(name, sealed);
  await other.barrier([name]);
  await other.close();
  await store.barrier([name]);
  // Not found there: nobody asked. Staged once more, and put in its own place.
  expect(await writer.putChunk(name, sealed)).toBe("stored");
  await store.barrier([name]);
  expect(chunkNameOf(await store.getChunk(name))).toBe(name);
  expect(await stagedFiles()).toEqual([]);
});

test("a store that is closed without a barrier has no chunk more", async () => {
  const { name, sealed } = madeChunk(1);
  await new ChunkWriter(place).putChunk(name, sealed);
  await store.close();
  store = await DirectoryStore.open(join(directory, "store"), { create: false });
  expect(await store.hasChunk(name)).toBe(false);
  expect(await stagedFiles()).toEqual([]);
  // The directory is there, since the barrier would have needed it: an empty one means nothing.
  expect(await readdir(place.chunksDirectory, { recursive: true })).toEqual([name.slice(0, 2)]);
});

test("a writer makes the directories that the barrier needs, and goes on where they were removed", async () => {
  const all = [madeChunk(1), madeChunk(2)];
  const writers = [new ChunkWriter(place), new ChunkWriter(place)];
  for (const { name, sealed } of all) for (const writer of writers) await writer.putChunk(name, sealed); // The second finds it made.
  const digits = all.map(({ name }) => name.slice(0, 2));
  expect(new Set(await readdir(place.chunksDirectory))).toEqual(new Set(digits));
  for (const each of digits) await rmdir(join(place.chunksDirectory, each));
  await store.barrier(all.map(({ name }) => name));
  for (const { name } of all) expect(await store.hasChunk(name)).toBe(true);
});

test("a writer that compares replaces what was damaged, and nothing else", async () => {
  const all = [madeChunk(1), madeChunk(2)] as const;
  const [damaged, good] = all;
  for (const { name, sealed } of all) await store.putChunk(name, sealed);
  await store.barrier();
  const changed = damaged.sealed.slice();
  changed[77]! ^= 1;
  await writeFile(chunkPath(place.chunksDirectory, damaged.name), changed);
  expect(await new ChunkWriter(place).putChunk(damaged.name, damaged.sealed)).toBe("present");
  const comparing = structuredClone(await store.beginWriting({ isComparing: true }));
  const before = (await stat(chunkPath(place.chunksDirectory, good.name))).ino;
  expect(await new ChunkWriter(comparing).putChunk(damaged.name, damaged.sealed)).toBe("stored");
  expect(await new ChunkWriter(comparing).putChunk(good.name, good.sealed)).toBe("present");
  expect(chunkNameOf(await store.getChunk(damaged.name))).toBe(damaged.name);
  await store.barrier([damaged.name, good.name]);
  for (const { name } of all) expect(chunkNameOf(await store.getChunk(name))).toBe(name);
  expect((await stat(chunkPath(place.chunksDirectory, good.name))).ino).toBe(before);
  expect(await stagedFiles()).toEqual([]);
});

test("a barrier over a chunk that is nowhere fails", async () => {
  await expect(store.barrier([madeChunk(1).name])).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
});

test("the next session takes over whole chunks of a session that was killed", async () => {
  const tmp = join(place.chunksDirectory, "..", "tmp");
  // No process has this number: it is above what Linux gives (PID_MAX_LIMIT).
  const killed = { ...place, sessionDirectory: join(tmp, "99999999-abc") };
  const [whole, half, damaged] = [madeChunk(1), madeChunk(2), madeChunk(3)];
  await new ChunkWriter(killed).putChunk(whole.name, whole.sealed);
  await new ChunkWriter(killed).putChunk(half.name, half.sealed);
  await truncate(join(killed.sessionDirectory, half.name), 1000);
  // As a machine can leave it that lost its power.
  await writeFile(join(killed.sessionDirectory, damaged.name), new Uint8Array(CHUNK_BYTES));
  await writeFile(join(killed.sessionDirectory, "7"), "a temporary file");
  await store.beginWriting();
  expect([await store.hasChunk(whole.name), await store.hasChunk(half.name)]).toEqual([true, false]);
  expect(await store.hasChunk(damaged.name)).toBe(false);
  expect(await new ChunkWriter(place).putChunk(whole.name, whole.sealed)).toBe("present");
  const left = ["7", half.name, damaged.name].map((name) => `99999999-abc/${name}`);
  expect(new Set(await stagedFiles())).toEqual(new Set(left));
});

test("the staged chunks of a session that runs are left to it", async () => {
  const { name, sealed } = madeChunk(1);
  await new ChunkWriter(place).putChunk(name, sealed);
  const other = await DirectoryStore.open(join(directory, "store"), { create: false });
  await other.beginWriting();
  expect(await other.hasChunk(name)).toBe(false);
  await other.close();
  await store.barrier([name]);
  expect(await store.hasChunk(name)).toBe(true);
});

test("a session whose chunks were taken over goes on", async () => {
  const { name, sealed } = madeChunk(1);
  await new ChunkWriter(place).putChunk(name, sealed);
  await rename(join(place.sessionDirectory, name), chunkPath(place.chunksDirectory, name));
  await store.barrier([name]);
  expect(chunkNameOf(await store.getChunk(name))).toBe(name);
});

test("a chunk in shared memory is put alike", async () => {
  const { name, sealed } = madeChunk(2);
  const shared = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES + 3), 1, CHUNK_BYTES);
  shared.set(sealed);
  await new ChunkWriter(place).putChunk(name, shared);
  expect(chunkNameOf(await store.getChunk(name))).toBe(name);
});

test.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES + 1])(
  "a file of %d bytes that a crash left is replaced",
  async (size) => {
    const { name, sealed } = madeChunk(1);
    const writer = new ChunkWriter(place);
    await writer.putChunk(name, sealed);
    await store.barrier([name]);
    await truncate(chunkPath(place.chunksDirectory, name), size);
    expect(await store.hasChunk(name)).toBe(false);
    expect(await writer.putChunk(name, sealed)).toBe("stored");
    await store.barrier([name]);
    expect(chunkNameOf(await store.getChunk(name))).toBe(name);
  },
);

test("writers of one session do not disturb each other", async () => {
  const writers = [new ChunkWriter(place), new ChunkWriter(place)];
  for (let seed = 0; seed < 6; seed++) {
    const { name, sealed } = madeChunk(seed);
    const outcomes = await Promise.all(writers.map((writer) => writer.putChunk(name, sealed)));
    expect(outcomes).toEqual(["stored", "present"]);
    await store.barrier([name]);
  }
  expect(await stagedFiles()).toEqual([]);
});

test("a store that is removed does not come back half", async () => {
  const writer = new ChunkWriter(place);
  const first = madeChunk(1);
  await writer.putChunk(first.name, first.sealed);
  await rm(join(directory, "store"), { recursive: true });
  const { name, sealed } = madeChunk(2);
  expect(await codeOf(writer.putChunk(name, sealed))).toBe("STORE_NOT_FOUND");
  expect(await readdir(directory)).toEqual([]);
});

test("a file in a directory's place is an invalid store, at the barrier at the latest", async () => {
  const { name, sealed } = madeChunk(1);
  await writeFile(join(place.chunksDirectory, name.slice(0, 2)), "");
  // Later versions of Node find nothing below a file, and no failure.
  const put = async (): Promise<void> => {
    await new ChunkWriter(place).putChunk(name, sealed);
    await store.barrier([name]);
  };
  await expect(put()).rejects.toMatchObject({ code: "STORE_INVALID" });
  await store.close();
  expect(await stagedFiles()).toEqual([]);
});

test("a link that leads nowhere in a chunk's place is an invalid store", async () => {
  const { name, sealed } = madeChunk(1);
  const path = chunkPath(place.chunksDirectory, name);
  await mkdir(dirname(path));
  await symlink(name, path);
  expect(await codeOf(new ChunkWriter(place).putChunk(name, sealed))).toBe("STORE_INVALID");
  expect(await stagedFiles()).toEqual([]);
});

test.skipIf(process.getuid?.() === 0)(
  "a directory that cannot be written to is forbidden (not as root)",
  async () => {
    await chmod(join(place.chunksDirectory, "..", "tmp"), 0o500);
    const { name, sealed } = madeChunk(1);
    expect(await codeOf(new ChunkWriter(place).putChunk(name, sealed))).toBe("STORE_FORBIDDEN");
    await chmod(join(place.chunksDirectory, "..", "tmp"), 0o700);
  },
);

test("chunks lie in directories of their first two digits", async () => {
  const { name, sealed } = madeChunk(1);
  await new ChunkWriter(place).putChunk(name, sealed);
  await store.barrier([name]);
  expect((await stat(join(place.chunksDirectory, name.slice(0, 2), name))).size).toBe(CHUNK_BYTES);
});
