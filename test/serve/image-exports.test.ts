import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import { DISK_TIER_BYTES_MIN, DiskTier } from "../../src/cache/disk-tier.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import type { Lookup } from "../../src/chunk/lookup-observer.ts";
import { ChunkGuard } from "../../src/serve/chunk-guard.ts";
import type { ImageExports } from "../../src/serve/image-exports.ts";
import { type ImageExportsOptions, type TraceEvent } from "../../src/serve/image-exports.ts";
import { TestTimers } from "../nbd/serving.ts";
import { exportsOf, MemoryStore, openNamed } from "./_exports.ts";

const PAGE = 4096;

let store: MemoryStore;
beforeEach(() => {
  store = new MemoryStore();
  store.refs.set("one", store.id(0)).set("two", store.id(1));
});

const makeExports = (options: Partial<ImageExportsOptions> = {}): ImageExports => exportsOf(store, options);

const never = (): void => {
  throw new Error("nothing is unusable");
};

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return isLambdaImgError(error) ? error.code : "no failure of ours";
}

test("names and manifest ids that are asked for are served, and nothing else", async () => {
  const exports = makeExports({ images: ["one", store.id(1)] });
  expect(await exports.prepare(never)).toEqual([
    { name: "one", manifestId: store.id(0), sizeBytes: 2 * CHUNK_BYTES },
    { name: store.id(1), manifestId: store.id(1), sizeBytes: 3 * CHUNK_BYTES },
  ]);
  for (const name of ["", "two", store.id(0), "one "]) expect(await exports.keyOf(name)).toBeUndefined();
  expect((await exports.list()).map(({ name }) => name)).toEqual(["one", store.id(1)]);
  const { name, device, hasFastZeroes } = await openNamed(exports, store.id(1));
  expect([name, device.sizeBytes, device.isReadOnly, hasFastZeroes]).toEqual([
    store.id(1),
    3 * CHUNK_BYTES,
    false,
    true,
  ]);
  expect(Buffer.compare(await device.read(0, 3 * CHUNK_BYTES), store.disks[1]!.plain)).toBe(0);
});

test("without images every name of the store is served, also one that comes later, but no ids", async () => {
  const exports = makeExports();
  expect((await exports.prepare(never)).map(({ name }) => name)).toEqual(["one", "two"]);
  expect(await exports.keyOf("later")).toBeUndefined();
  store.refs.set("later", store.id(0));
  expect(await exports.keyOf("later")).toBeDefined();
  expect((await exports.list()).map(({ name }) => name)).toEqual(["one", "two", "later"]);
  expect([await exports.keyOf(""), await exports.keyOf(store.id(0))]).toEqual([undefined, undefined]);
});

test("an image that cannot be opened is an error where it was asked for, and else keeps no other from being served", async () => {
  store.manifests.delete(store.id(0));
  const unusable: string[] = [];
  const found = await makeExports().prepare((name) => unusable.push(name));
  expect([unusable, found.map(({ name }) => name)]).toEqual([["one"], ["two"]]);
  expect(await codeOf(makeExports({ images: ["one"] }).prepare(never))).toBe("MANIFEST_NOT_FOUND");
  expect(await codeOf(makeExports({ images: ["other"] }).prepare(never))).toBe("IMAGE_NOT_FOUND");
});

test("what cannot be opened is told with its name, at the start and when a client comes", async () => {
  store.manifests.set(store.id(0), new Uint8Array(5));
  const invalid = { code: "MANIFEST_INVALID", details: { image: "one" } };
  const told: unknown[] = [];
  const exports = makeExports();
  await exports.prepare((name, error) => told.push([name, error]));
  expect(told).toMatchObject([["one", invalid]]);
  for (const images of [["one"], ["two", "one"]]) {
    await expect(makeExports({ images }).prepare(never)).rejects.toMatchObject(invalid);
  }
  await expect(openNamed(exports, "one")).rejects.toThrow(/^one: invalid manifest: /);
});

test("a ref that cannot be read is told, is no export, and keeps no other from being served", async () => {
  const error = new LambdaImgError("STORE_INVALID", "bad: cannot read the ref", {
    details: { image: "bad" },
  });
  store.unreadable.push({ imageName: "bad", error });
  const told: unknown[] = [];
  const exports = makeExports();
  const found = await exports.prepare((name, failure) => told.push([name, failure]));
  expect(told).toEqual([["bad", error]]);
  expect(found.map(({ name }) => name)).toEqual(["one", "two"]);
  expect((await exports.list()).map(({ name }) => name)).toEqual(["one", "two"]);
});

test("a store that is gone is told of no image", async () => {
  const gone = new LambdaImgError("STORE_NOT_FOUND", "gone");
  store.getManifest = () => Promise.reject(gone);
  await expect(makeExports().prepare(never)).rejects.toBe(gone);
});

test("the only image is the default export, too, and both share an overlay", async () => {
  const exports = makeExports({ images: ["one"] });
  expect(await exports.keyOf("")).toBe(await exports.keyOf("one"));
});

test("what is written is private to a name, and is there for who comes back", async () => {
  store.refs.set("same", store.id(0));
  const exports = makeExports();
  const first = await openNamed(exports, "one");
  await first.device.write(5, Uint8Array.of(1, 2, 3));
  await first.close();
  expect(await (await openNamed(exports, "one")).device.read(5, 3)).toEqual(Uint8Array.of(1, 2, 3));
  const other = (await openNamed(exports, "same")).device;
  expect(await other.read(5, 3)).toEqual(store.disks[0]!.plain.subarray(5, 8));
});

test("a name that stands for another manifest is another export, and the old one goes with its last client", async () => {
  const exports = makeExports();
  const old = await openNamed(exports, "one");
  await old.device.write(0, new Uint8Array(PAGE));
  store.refs.set("one", store.id(1));
  const fresh = await openNamed(exports, "one");
  expect(fresh.device.sizeBytes).toBe(3 * CHUNK_BYTES);
  expect(await old.device.read(0, PAGE)).toEqual(new Uint8Array(PAGE));
  await old.close();
  await expect(old.device.read(0, 1)).rejects.toThrow();
  store.refs.set("one", store.id(0));
  expect(await (await openNamed(exports, "one")).device.read(0, PAGE)).toEqual(
    store.disks[0]!.plain.subarray(0, PAGE),
  );
});

test("what was written to what a name stood for goes also where the name moved after the last client had left", async () => {
  for (const images of [undefined, ["one"]]) {
    store.refs.set("one", store.id(0));
    const exports = makeExports(images === undefined ? {} : { images });
    await exports.prepare(never);
    const old = await openNamed(exports, "one");
    await old.device.write(0, new Uint8Array(PAGE));
    await old.close();
    store.refs.set("one", store.id(1));
    expect(await old.device.read(0, PAGE)).toEqual(new Uint8Array(PAGE));
    const fresh = await openNamed(exports, "one");
    await expect(old.device.read(0, 1)).rejects.toThrow();
    // One who was told of the former manifest, and opens it only now, takes nothing from those who come after.
    await fresh.device.write(0, new Uint8Array(PAGE));
    await fresh.close();
    const late = await exports.open(`${store.id(0)} one`);
    expect(await late.device.read(0, PAGE)).toEqual(store.disks[0]!.plain.subarray(0, PAGE));
    expect(await fresh.device.read(0, PAGE)).toEqual(new Uint8Array(PAGE));
    await late.close();
    await exports.close();
  }
});

test("what is written is not thrown away because the store cannot be asked", async () => {
  const exports = makeExports();
  const first = await openNamed(exports, "one");
  await first.device.write(0, Uint8Array.of(9));
  store.isGone = true;
  await first.close();
  expect(await codeOf(exports.keyOf("one"))).toBe("STORE_UNAVAILABLE");
  store.isGone = false;
  expect(await (await openNamed(exports, "one")).device.read(0, 1)).toEqual(Uint8Array.of(9));
});

test("without an overlay an export is read-only", async () => {
  const exports = makeExports({ overlay: { kind: "none" } });
  const opened = await openNamed(exports, "one");
  const { device, hasFastZeroes } = opened;
  expect([device.isReadOnly, hasFastZeroes]).toEqual([true, false]);
  expect(await codeOf(device.write(0, Uint8Array.of(1)))).toBe("DEVICE_READ_ONLY");
  await opened.close();
});

test("with an overlay file the image is that of the start, and another server finds what was written", async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-exports-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const overlay = { kind: "file", path: path.join(folder, "overlay"), maxBytes: 1 << 20 } as const;
  const first = makeExports({ images: ["one"], overlay });
  await first.prepare(never);
  expect(await codeOf(makeExports({ images: ["one"], overlay }).prepare(never))).toBe("OVERLAY_UNAVAILABLE");
  store.refs.set("one", store.id(1));
  const opened = await openNamed(first, "");
  expect(opened.device.sizeBytes).toBe(2 * CHUNK_BYTES);
  await opened.device.write(100, Uint8Array.of(1, 2));
  await opened.close();
  await first.close();
  store.refs.set("one", store.id(0));
  const second = makeExports({ images: ["one"], overlay });
  await second.prepare(never);
  expect(await (await openNamed(second, "one")).device.read(100, 2)).toEqual(Uint8Array.of(1, 2));
  await second.close();
  // The sample manifests say one disk digest, but their sizes differ.
  const other = makeExports({ images: ["two"], overlay });
  expect(await codeOf(other.prepare(never))).toBe("OVERLAY_INVALID");
});

describe("what is read ahead", () => {
  const RECORDING = { isReplaying: true, isRecording: true, primeChunks: 0 };

  /** Lets everything run that needs no timer. */
  async function settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Records the reads of chunks 1 and 0 of an image with two. */
  async function record(): Promise<TraceEvent[]> {
    const events: TraceEvent[] = [];
    const onTrace = (event: TraceEvent): number => events.push(event);
    const exports = makeExports({ images: ["one"], prefetch: RECORDING, onTrace });
    const first = await openNamed(exports, "one");
    await first.device.read(CHUNK_BYTES, PAGE);
    await first.close();
    const second = await openNamed(exports, "one");
    await second.device.read(0, PAGE);
    await second.close();
    await exports.close();
    return events;
  }

  test("is recorded from the first client on, and kept when the last has left", async () => {
    expect(await record()).toEqual([
      { kind: "kept", name: "one", chunkCount: 1 },
      { kind: "kept", name: "one", chunkCount: 2 },
    ]);
    expect(store.records.size).toBe(1);
  });

  test("is open before it is asked for, unless that is not wished", async () => {
    await record();
    for (const [isReplaying, asked] of [
      [true, 2],
      [false, 0],
    ] as const) {
      store.asked = 0;
      const prefetch = { isReplaying, isRecording: false, primeChunks: 0 };
      const exports = makeExports({ prefetch });
      const { device } = await openNamed(exports, "one");
      await settle();
      expect(store.asked).toBe(asked);
      const found = await device.read(0, 2 * CHUNK_BYTES);
      expect(Buffer.compare(found, store.disks[0]!.plain)).toBe(0);
      expect(store.asked).toBe(2);
      await exports.close();
    }
  });

  test("is nothing where the trace is damaged, which is told; reads are what they are", async () => {
    await record();
    for (const bytes of store.records.values()) bytes[3]! ^= 1;
    const events: TraceEvent[] = [];
    const exports = makeExports({ onTrace: (event) => events.push(event) });
    const { device } = await openNamed(exports, "one");
    await settle();
    expect([store.asked, events.map(({ kind }) => kind)]).toEqual([2, ["unusable"]]);
    expect((await device.read(0, PAGE)).length).toBe(PAGE);
  });

  test("is not kept where the store cannot take it, which is told", async () => {
    const events: TraceEvent[] = [];
    const onTrace = (event: TraceEvent): number => events.push(event);
    const exports = makeExports({ images: ["one"], prefetch: RECORDING, onTrace });
    const opened = await openNamed(exports, "one");
    await opened.device.read(0, PAGE);
    store.isGone = true;
    await opened.close();
    expect(events.map(({ kind }) => kind)).toEqual(["not-kept"]);
  });

  test("with prime is what follows", async () => {
    const timers = new TestTimers();
    const guard = new ChunkGuard({ timeoutMs: 1000, onError: "eio", onEvent: () => undefined, timers });
    const prefetch = { isReplaying: false, isRecording: false, primeChunks: 1 };
    const exports = makeExports({ prefetch, guard });
    const { device } = await openNamed(exports, "one");
    await device.read(0, PAGE);
    await settle();
    expect(store.asked).toBe(1);
    timers.fire(2);
    await settle();
    expect(store.asked).toBe(2);
    await device.read(CHUNK_BYTES, PAGE);
    expect(store.asked).toBe(2);
  });

  test("is of one image, where it is recorded", () => {
    expect(() => makeExports({ prefetch: RECORDING })).toThrow("of one image");
  });
});

test("images that share a chunk share its memory, and a cache serves without the store's chunks", async () => {
  const temporary = mkdtempSync(path.join(os.tmpdir(), "lambda-img-exports-"));
  onTestFinished(() => {
    rmSync(temporary, { recursive: true });
  });
  const cache = await DiskTier.open({ path: temporary, maxBytes: DISK_TIER_BYTES_MIN });
  store.refs.set("same", store.id(0));
  const exports = makeExports({ cache });
  for (const name of ["one", "same"]) {
    const { device } = await openNamed(exports, name);
    expect(Buffer.compare(await device.read(0, 2 * CHUNK_BYTES), store.disks[0]!.plain)).toBe(0);
  }
  expect(store.asked).toBe(2);
  await exports.close();
  const lookups: string[] = [];
  const observer = {
    looked: ({ tier, outcome }: Lookup) => lookups.push(`${tier} ${outcome}`),
    filled: () => undefined,
  };
  const others = makeExports({ cache, observer });
  await (await openNamed(others, "one")).device.read(0, PAGE);
  expect(store.asked).toBe(2);
  expect(lookups).toEqual(["memory miss", "disk hit"]);
  await others.close();
  await cache.close();
});
