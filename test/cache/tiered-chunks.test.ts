import path from "node:path";
import { readdirSync, writeFileSync } from "node:fs";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { DISK_TIER_BYTES_MIN, DiskTier } from "../../src/cache/disk-tier.ts";
import { TieredChunks } from "../../src/cache/tiered-chunks.ts";
import { CHUNK_BYTES, chunkNameOf, type ChunkName } from "../../src/chunk/chunk.ts";
import type { Fill, Lookup } from "../../src/chunk/lookup-observer.ts";
import type { ChunkReader } from "../../src/store/store.ts";
import { codeOf } from "../support/code-of.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { madeChunk, type MadeChunk } from "./_chunks.ts";

/** A store in memory that counts what it is asked, and answers when it may. */
class CountingStore implements ChunkReader {
  readonly chunks = new Map<string, Uint8Array>();
  asked = 0;
  isOpen: Promise<void> = Promise.resolve();

  async getChunk(name: ChunkName): Promise<Uint8Array> {
    this.asked++;
    await this.isOpen;
    const sealed = this.chunks.get(name);
    if (sealed === undefined) throw new LambdaImgError("CHUNK_NOT_FOUND", "not there");
    return sealed.slice();
  }
}

let directory: string;
let store: CountingStore;
let told: string[];
const observer = {
  looked: ({ tier, outcome, seconds, sizeBytes }: Lookup): void => {
    expect(seconds).toBeGreaterThanOrEqual(0);
    expect(sizeBytes).toBe(outcome === "hit" ? CHUNK_BYTES : 0);
    told.push(`${tier} ${outcome}`);
  },
  filled: ({ tier, outcome }: Fill): void => {
    told.push(`${tier} ${outcome}`);
  },
};

beforeEach(() => {
  const temporary = temporaryDirectory();
  onTestFinished(temporary.remove);
  directory = temporary.path;
  store = new CountingStore();
  told = [];
});

async function makeTiered(): Promise<TieredChunks> {
  const disk = await DiskTier.open({ path: directory, maxBytes: DISK_TIER_BYTES_MIN });
  const tiered = new TieredChunks({ store, disk, observer });
  onTestFinished(async () => {
    await tiered.settle();
    await disk.close();
  });
  return tiered;
}

function inStore(seed: number): MadeChunk {
  const chunk = madeChunk(seed);
  store.chunks.set(chunk.name, chunk.sealed);
  return chunk;
}

function fileOf({ name }: MadeChunk): string {
  return path.join(directory, "chunks-v1", name.slice(0, 1), name);
}

test("what the disk has not, the store gives; then the disk has it, also for who comes later", async () => {
  const { name, sealed } = inStore(1);
  const tiered = await makeTiered();
  expect(Buffer.compare(await tiered.getChunk(name), sealed)).toBe(0);
  await tiered.settle();
  expect(Buffer.compare(await (await makeTiered()).getChunk(name), sealed)).toBe(0);
  expect([told, store.asked]).toEqual([["disk miss", "store hit", "disk stored", "disk hit"], 1]);
});

test("who asks at the same time shares one load, and owns what it gets", async () => {
  const { name, sealed } = inStore(2);
  const tiered = await makeTiered();
  const asked = Array.from({ length: 10 }, async () => {
    const found = await tiered.getChunk(name);
    const isRight = Buffer.compare(found, sealed) === 0;
    found.fill(0);
    return isRight;
  });
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 10 }, () => true));
  expect(store.asked).toBe(1);
  await tiered.settle();
  expect(Buffer.compare(await tiered.getChunk(name), sealed)).toBe(0);
});

test("a damaged file is removed, the store is asked, and the file is whole again", async () => {
  const chunk = inStore(3);
  const tiered = await makeTiered();
  await tiered.getChunk(chunk.name);
  await tiered.settle();
  writeFileSync(fileOf(chunk), madeChunk(4).sealed);
  told = [];
  expect(Buffer.compare(await tiered.getChunk(chunk.name), chunk.sealed)).toBe(0);
  await tiered.settle();
  await tiered.getChunk(chunk.name);
  expect(told).toEqual(["disk corrupt", "store hit", "disk stored", "disk hit"]);
});

test("what the store gives under a wrong name is corrupt, and is not kept", async () => {
  const { name } = madeChunk(5);
  store.chunks.set(name, madeChunk(6).sealed);
  const tiered = await makeTiered();
  expect(await codeOf(tiered.getChunk(name))).toBe("CHUNK_CORRUPT");
  await tiered.settle();
  expect(told).toEqual(["disk miss", "store corrupt"]);
  expect(readdirSync(path.dirname(fileOf(madeChunk(5))))).toEqual([]);
});

test.each([[0], [1000], [CHUNK_BYTES - 1], [CHUNK_BYTES + 1]])(
  "%i bytes of the store are no chunk, though the name is theirs, and are not kept",
  async (sizeBytes) => {
    const sealed = new Uint8Array(sizeBytes);
    const name = chunkNameOf(sealed);
    store.chunks.set(name, sealed);
    const tiered = await makeTiered();
    await expect(tiered.getChunk(name)).rejects.toMatchObject({
      code: "CHUNK_CORRUPT",
      message: `chunk ${name}: expected 524288 bytes, found ${sizeBytes}`,
    });
    await tiered.settle();
    expect(told).toEqual(["disk miss", "store corrupt"]);
  },
);

test("a bug in a fill is thrown where fills are waited for, once, and nowhere else", async () => {
  const { name } = inStore(11);
  const bug = new Error("a bug");
  const disk = await DiskTier.open({ path: directory, maxBytes: DISK_TIER_BYTES_MIN });
  disk.put = () => Promise.reject(bug);
  const tiered = new TieredChunks({ store, disk });
  await tiered.getChunk(name);
  // A rejection that nobody has taken would end the test run in these turns.
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  await expect(tiered.settle()).rejects.toBe(bug);
  await tiered.settle();
  expect((await tiered.getChunk(name)).length).toBe(CHUNK_BYTES);
  await expect(tiered.settle()).rejects.toBe(bug);
  await disk.close();
});

test("a failure of the store is told as it is, and is not remembered", async () => {
  const { name, sealed } = madeChunk(7);
  const tiered = await makeTiered();
  const both = [codeOf(tiered.getChunk(name)), codeOf(tiered.getChunk(name))];
  expect(await Promise.all(both)).toEqual(["CHUNK_NOT_FOUND", "CHUNK_NOT_FOUND"]);
  store.getChunk = () => Promise.reject(new LambdaImgError("STORE_UNAVAILABLE", "gone"));
  expect(await codeOf(tiered.getChunk(name))).toBe("STORE_UNAVAILABLE");
  expect(told).toEqual(["disk miss", "store miss", "disk miss", "store failed"]);
  store.getChunk = () => Promise.resolve(sealed.slice());
  expect((await tiered.getChunk(name)).length).toBe(CHUNK_BYTES);
});

test("a disk that cannot be used costs no read", async () => {
  const { name, sealed } = inStore(8);
  writeFileSync(path.join(directory, "chunks-v1"), "");
  const tiered = await makeTiered();
  expect(Buffer.compare(await tiered.getChunk(name), sealed)).toBe(0);
  await tiered.settle();
  expect(told).toEqual(["disk failed", "store hit", "disk failed"]);
});

test("no more than 32 chunks wait to be kept", async () => {
  const names = Array.from({ length: 50 }, (_, seed) => inStore(seed).name);
  const tiered = await makeTiered();
  let open = (): void => undefined;
  store.isOpen = new Promise((resolve) => {
    open = resolve;
  });
  const all = Promise.all(names.map((name) => tiered.getChunk(name)));
  while (store.asked < names.length) await new Promise((resolve) => setImmediate(resolve));
  open();
  await all;
  await tiered.settle();
  const kept = told.filter((text) => text === "disk stored").length;
  expect(kept).toBeGreaterThanOrEqual(32);
  expect(told.filter((text) => text === "disk failed").length).toBe(50 - kept);
});

test("without a disk the store alone is asked, and what it gives is verified", async () => {
  const { name } = inStore(9);
  const tiered = new TieredChunks({ store, observer });
  expect((await tiered.getChunk(name)).length).toBe(CHUNK_BYTES);
  store.chunks.set(name, madeChunk(10).sealed);
  expect(await codeOf(tiered.getChunk(name))).toBe("CHUNK_CORRUPT");
  expect([tiered.isVerifying, told]).toEqual([true, ["store hit", "store corrupt"]]);
});
