/** What a start of exports reads of the store: counted, since a store can be far away. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import type { ManifestId } from "../../src/manifest/manifest-id.ts";
import type { ImageExports, ImageExportsOptions } from "../../src/serve/image-exports.ts";
import { exportsOf, MemoryStore, openNamed } from "./_exports.ts";

let store: MemoryStore;
beforeEach(() => {
  store = new MemoryStore();
  store.refs.set("one", store.id(0)).set("two", store.id(1));
});

const makeExports = (options: Partial<ImageExportsOptions>): ImageExports => exportsOf(store, options);

const never = (): void => {
  throw new Error("nothing is unusable");
};

const folder = (): string => {
  const made = mkdtempSync(path.join(os.tmpdir(), "lambda-img-exports-"));
  onTestFinished(() => {
    rmSync(made, { recursive: true, force: true });
  });
  return made;
};

test.each<[string, (id: ManifestId) => Partial<ImageExportsOptions>, string[], string[]]>([
  // Of a name each connection asks again: it may have moved.
  ["a name", () => ({ images: ["one"] }), ["ref", "manifest"], ["ref", "ref", "ref"]],
  ["a name that is pinned", () => ({ images: ["one"], isPinned: true }), ["ref", "manifest"], []],
  ["a manifest id", (id) => ({ images: [id] }), ["manifest"], []],
  ["all names", () => ({}), ["refs", "manifest", "manifest"], ["ref", "manifest", "ref", "ref"]],
  [
    "a name with an overlay file",
    () => ({
      images: ["one"],
      overlay: { kind: "file", path: path.join(folder(), "overlay"), maxBytes: 1 << 20 },
    }),
    ["ref", "manifest"],
    [],
  ],
])(
  "%s: nothing twice, and for more connections no more than their name",
  async (_, options, atStart, later) => {
    const exports = makeExports(options(store.id(0)));
    const [served] = await exports.prepare(never);
    expect(store.looked.splice(0)).toEqual(atStart);
    // As the server does it: one opens, the others find it open.
    const opened = await openNamed(exports, served?.name ?? "");
    for (let connection = 0; connection < 2; connection++) await exports.keyOf(served?.name ?? "");
    expect(store.looked.splice(0)).toEqual(later);
    await opened.close();
    await exports.close();
  },
);

test("a name that moved between start and first client: the manifest that it stands for then", async () => {
  const exports = makeExports({ images: ["one"], overlay: { kind: "none" } });
  await exports.prepare(never);
  store.refs.set("one", store.id(1));
  const moved = await openNamed(exports, "one");
  expect(moved.device.sizeBytes).toBe(3 * CHUNK_BYTES);
  store.refs.set("one", store.id(0));
  store.looked.length = 0;
  // What was read at the start is still good, once; who opens it again later has it read again.
  for (const found of [["ref"], ["ref", "manifest"]]) {
    const opened = await openNamed(exports, "one");
    expect(opened.device.sizeBytes).toBe(2 * CHUNK_BYTES);
    await opened.close();
    expect(store.looked.splice(0)).toEqual(found);
  }
});

test("names that are pinned: what they stood for at the start, for every client", async () => {
  for (const images of [["one"], ["one", "two"]]) {
    store.refs.set("one", store.id(0));
    const exports = makeExports({ images, isPinned: true });
    await exports.prepare(never);
    store.refs.set("one", store.id(1));
    for (let turn = 0; turn < 2; turn++) {
      const opened = await openNamed(exports, "one");
      expect(opened.device.sizeBytes).toBe(2 * CHUNK_BYTES);
      await opened.close();
    }
    await exports.close();
  }
});

/** A store whose manifests and records are given when the test says so. */
class SlowStore extends MemoryStore {
  readonly waiting: (() => void)[] = [];

  override async getManifest(...args: Parameters<MemoryStore["getManifest"]>): Promise<Uint8Array> {
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    return super.getManifest(...args);
  }

  override async getRecord(...args: Parameters<MemoryStore["getRecord"]>): Promise<Uint8Array | undefined> {
    this.looked.push("record");
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    return super.getRecord(...args);
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Keeps a trace of both chunks of the first image. */
async function recordTrace(): Promise<void> {
  const prefetch = { isReplaying: false, isRecording: true, primeChunks: 0 };
  const exports = makeExports({ images: ["one"], prefetch });
  const opened = await openNamed(exports, "one");
  await opened.device.read(0, 2 * CHUNK_BYTES);
  await opened.close();
  await exports.close();
}

test("manifest and trace of the only image are asked for at once, and the trace is replayed before a client comes", async () => {
  await recordTrace();
  const slow = new SlowStore();
  slow.refs.set("one", slow.id(0));
  for (const [name, bytes] of store.records) slow.records.set(name, bytes);
  const exports = exportsOf(slow, { images: ["one"] });
  const prepared = exports.prepare(never);
  await settle();
  expect([slow.looked, slow.waiting.length]).toEqual([["ref", "record"], 2]);
  for (const give of slow.waiting.splice(0)) give();
  await prepared;
  await settle();
  expect(slow.asked).toBe(2);
  // Its first client finds it replayed; when it has left, the next one's replay begins anew.
  for (const records of [[], ["record"]]) {
    slow.looked.length = 0;
    const opening = openNamed(exports, "one");
    await settle();
    for (const give of slow.waiting.splice(0)) give();
    await (await opening).close();
    expect(slow.looked.filter((what) => what === "record")).toEqual(records);
  }
  expect(slow.asked).toBe(2);
  await exports.close();
});

test("of several images, and where nothing is to be replayed, no trace is asked for at the start", async () => {
  await recordTrace();
  const prefetch = { isReplaying: false, isRecording: false, primeChunks: 0 };
  for (const options of [{ images: ["one", "two"] }, { images: ["one"], prefetch }, {}]) {
    store.asked = 0;
    const exports = makeExports(options);
    await exports.prepare(never);
    await settle();
    expect(store.asked).toBe(0);
    await exports.close();
  }
});

test("an image that cannot be opened is told once, and not of its trace", async () => {
  await recordTrace();
  const id = store.id(0);
  const bytes = store.manifests.get(id)!;
  store.manifests.delete(id);
  const events: string[] = [];
  const exports = makeExports({ images: ["one"], onTrace: ({ kind }) => events.push(kind) });
  await expect(exports.prepare(never)).rejects.toThrow("no such manifest");
  await settle();
  expect(events).toEqual([]);
  // Once it is there again, its client's session begins like any other: with a replay.
  store.manifests.set(id, bytes);
  await openNamed(exports, "one");
  await settle();
  expect(store.asked).toBe(4);
  await exports.close();
});
