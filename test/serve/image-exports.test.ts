import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import type { ImageRef } from "../../src/store/store.ts";
import { manifestIdOf, type ManifestId } from "../../src/manifest/manifest-id.ts";
import { ChunkGuard } from "../../src/serve/chunk-guard.ts";
import { ImageExports, type ImageExportsOptions } from "../../src/serve/image-exports.ts";
import { makeChunkDisk } from "../support/chunk-disk.ts";
import { TestTimers } from "../nbd/serving.ts";

const KEY = asCustomerKey(new Uint8Array(32).fill(7));
const PAGE = 4096;

/** A store in memory with two manifests, and names that the test sets. */
class MemoryStore {
  readonly disks = [makeChunkDisk(2, [0, 1]), makeChunkDisk(3, [1])];
  readonly manifests = new Map(
    this.disks.map(({ content }) => {
      const bytes = sealManifest(content, KEY);
      return [manifestIdOf(bytes), bytes] as const;
    }),
  );
  readonly refs = new Map<string, ManifestId>();
  isGone = false;

  id(index: number): ManifestId {
    return [...this.manifests.keys()][index]!;
  }

  async getChunk(...args: Parameters<ImageExportsOptions["store"]["getChunk"]>): Promise<Uint8Array> {
    return this.disks[0]!.store.getChunk(...args).catch(() => this.disks[1]!.store.getChunk(...args));
  }

  getManifest(_customer: string, manifestId: ManifestId): Promise<Uint8Array> {
    const found = this.manifests.get(manifestId);
    if (found !== undefined) return Promise.resolve(Uint8Array.from(found));
    return Promise.reject(new LambdaImgError("MANIFEST_NOT_FOUND", "no such manifest"));
  }

  getRef(_customer: string, imageName: string): Promise<ManifestId> {
    if (this.isGone) return Promise.reject(new LambdaImgError("STORE_UNAVAILABLE", "gone"));
    const found = this.refs.get(imageName);
    if (found !== undefined) return Promise.resolve(found);
    return Promise.reject(new LambdaImgError("IMAGE_NOT_FOUND", "no such name"));
  }

  listRefs(): Promise<readonly ImageRef[]> {
    return Promise.resolve([...this.refs].map(([imageName, manifestId]) => ({ imageName, manifestId })));
  }
}

let store: MemoryStore;
beforeEach(() => {
  store = new MemoryStore();
  store.refs.set("one", store.id(0)).set("two", store.id(1));
});

function makeExports(options: Partial<ImageExportsOptions> = {}): ImageExports {
  const guard = new ChunkGuard({
    timeoutMs: 1000,
    onError: "eio",
    onEvent: () => undefined,
    timers: new TestTimers(),
  });
  const overlay = { kind: "memory", maxBytes: 1 << 20 } as const;
  return new ImageExports({ store, keyring: keyringOf(KEY), overlay, guard, ...options });
}

const never = (): void => {
  throw new Error("nothing is unusable");
};

async function openNamed(exports: ImageExports, name: string): ReturnType<ImageExports["open"]> {
  const key = await exports.keyOf(name);
  if (key === undefined) throw new Error(`${name} stands for nothing`);
  return exports.open(key);
}

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
