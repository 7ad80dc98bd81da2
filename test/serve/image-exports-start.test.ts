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
