import { createHash } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import { COST_REASONS, diffImages, type ImageDiff } from "../../src/report/image-diff.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";
import { convertAs, noise, openTestStore, type TestStore } from "./_store.ts";

let place: TestStore;
beforeAll(async () => {
  place = await openTestStore();
});
afterAll(() => place.close());

async function diffOf(
  before: readonly TarBuilder[],
  after: readonly TarBuilder[],
): Promise<ImageDiff & { readonly contents: readonly [ManifestContent, ManifestContent] }> {
  const { content: old } = await convertAs(
    place,
    "before",
    before.map((tar) => tar.end()),
  );
  const { content: young } = await convertAs(
    place,
    "after",
    after.map((tar) => tar.end()),
  );
  const found = await diffImages({ store: place.store, before: old, after: young, pathCountMax: 1000 });
  return { ...found, contents: [old, young] };
}

function reasonsOf({ paths }: ImageDiff): Record<string, string> {
  return Object.fromEntries(
    paths.filter(({ type }) => type === "file").map(({ path, reason }) => [path, reason]),
  );
}

/** New chunks by kind of region. */
function newChunks({ regions }: ImageDiff): Record<string, number> {
  return Object.fromEntries(
    regions.filter(({ newCount }) => newCount > 0).map(({ region, newCount }) => [region.kind, newCount]),
  );
}

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** SHA-256 of every chunk that is not zero, straight from the bytes of the disk. */
async function plainDigests(content: ManifestContent): Promise<string[]> {
  const device = new ImageDevice(place.store, content);
  const digests: string[] = [];
  for (let at = 0; at < device.sizeBytes; at += CHUNK_BYTES) {
    const bytes = await device.read(at, CHUNK_BYTES);
    if (Buffer.compare(bytes, ZEROS) !== 0) digests.push(createHash("sha256").update(bytes).digest("hex"));
  }
  return digests;
}

/** Small files in one chunk, in this order. */
function files(contents: Readonly<Record<string, Uint8Array | string>>, fields = {}): TarBuilder {
  const tar = tarBuilder();
  for (const [name, bytes] of Object.entries(contents)) tar.file(name, bytes, { mtime: 1000, ...fields });
  return tar;
}

const THREE = { a: noise(1, 5000), b: noise(2, 5000), c: noise(3, 5000) };

describe("reasons", () => {
  test("an image costs nothing after itself", async () => {
    const found = await diffOf([files(THREE)], [files(THREE)]);
    expect(found).toMatchObject({
      newBytes: 0,
      paths: [],
      places: { changedCount: 0, onlyBeforeCount: 0, onlyAfterCount: 0 },
      chunks: { onlyBeforeCount: 0, onlyAfterCount: 0 },
    });
    expect(newChunks(found)).toEqual({});
    expect(found.regions.map(({ isLayerKnown }) => isLayerKnown)).toContain(true);
  });

  test("content that changed in place makes neighbours of the other files", async () => {
    const found = await diffOf([files(THREE)], [files({ ...THREE, b: noise(9, 5000) })]);
    expect(reasonsOf(found)).toEqual({ "/a": "neighbour", "/b": "changed", "/c": "neighbour" });
    expect(newChunks(found)).toEqual({ segment: 1 });
    expect(found.newBytes).toBe(CHUNK_BYTES);
    expect(found.paths.map(({ newBytes, newChunkCount }) => [newBytes, newChunkCount])).toEqual(
      Array.from({ length: 3 }, () => [8192, 1]),
    );
    expect(found.regions.find(({ region }) => region.kind === "segment")).toMatchObject({
      isLayerKnown: false,
      reasons: {
        changed: { pathCount: 1, newBytes: 8192 },
        neighbour: { pathCount: 2, newBytes: 16_384 },
        moved: { pathCount: 0, newBytes: 0 },
      },
    });
  });

  test("a file that grew moves those behind it", async () => {
    const found = await diffOf([files(THREE)], [files({ ...THREE, b: noise(2, 9000) })]);
    expect(reasonsOf(found)).toEqual({ "/a": "neighbour", "/b": "changed", "/c": "moved" });
  });

  test("a file that was removed by a layer above leaves zeros beside its neighbours", async () => {
    const found = await diffOf([files(THREE)], [files(THREE), tarBuilder().file(".wh.b")]);
    expect(reasonsOf(found)).toEqual({ "/a": "neighbour", "/c": "neighbour" });
    expect(found.inodes.removedCount).toBe(1);
    const layers = found.regions.filter(({ region }) => region.kind === "segment");
    expect(layers.map(({ isLayerKnown }) => isLayerKnown)).toEqual([true]);
  });

  test("a file in place of a directory has changed, and what lay below is gone", async () => {
    const found = await diffOf([files({ ...THREE, "d/x": "x" })], [files({ ...THREE, d: noise(4, 100) })]);
    expect(reasonsOf(found)["/d"]).toBe("changed");
  });

  test("of several names of one file the first is told of", async () => {
    const linked = files(THREE).hardlink("z", "a").hardlink("0", "a");
    const found = await diffOf([tarBuilder().dir("d")], [linked]);
    expect(reasonsOf(found)).toEqual({ "/0": "new", "/b": "new", "/c": "new" });
  });

  test("a sparse file of the same bytes but other holes has the same content", async () => {
    const zeros = new Uint8Array(8192);
    const dense = tarBuilder().file("s", Buffer.concat([noise(1, 4096), zeros, noise(2, 4096)]));
    const parts = [
      { offset: 0, bytes: noise(1, 4096) },
      { offset: 12_288, bytes: noise(2, 4096) },
    ];
    const sparse = tarBuilder().sparse("pax-1.0", { path: "s", realSize: 16_384, parts });
    expect(reasonsOf(await diffOf([dense], [sparse]))).toEqual({ "/s": "moved" });
    expect(reasonsOf(await diffOf([sparse], [dense]))).toEqual({ "/s": "moved" });
  });
});

describe("inodes", () => {
  const XATTR = [["SCHILY.xattr.user.a", "1"]] as const;
  test.each<[string, TarBuilder, TarBuilder]>([
    ["mtime", files(THREE), files(THREE, { mtime: 2000 })],
    ["mode", files(THREE), files(THREE, { mode: 0o600 })],
    ["owner", files(THREE), files(THREE, { uid: 70_000 })],
    [
      "attributes",
      tarBuilder().file("a", "x").file("b", "").file("c", ""),
      tarBuilder().pax(XATTR).file("a", "x").pax(XATTR).file("b", "").pax(XATTR).file("c", ""),
    ],
    [
      "target",
      tarBuilder().symlink("a", "x").symlink("b", "x").symlink("c", "x"),
      tarBuilder().symlink("a", "y").symlink("b", "y").symlink("c", "y"),
    ],
    [
      "device",
      tarBuilder().device("a", "char", { devminor: 1 }).device("b", "char").device("c", "char"),
      tarBuilder()
        .device("a", "char", { devminor: 2 })
        .device("b", "char", { devminor: 3 })
        .device("c", "char", { devminor: 4 }),
    ],
  ])("that differ in %s alone are counted as that", async (aspect, before, after) => {
    const found = await diffOf([before], [after]);
    expect([...found.inodes.changes]).toEqual([[aspect, 3]]);
    expect(found.inodes).toMatchObject({ newCount: 0, renumberedCount: 0, removedCount: 0 });
    expect(newChunks(found)).toEqual({ inodes: 1 });
    expect(found.paths).toEqual([]);
  });

  test("that are new, gone or renumbered are told apart", async () => {
    // The numbers of a layer's files follow its archive, so that b and c change places.
    const found = await diffOf(
      [files({ a: "1", b: "22", c: "333", d: "4444" })],
      [files({ a: "1", c: "333", b: "22", e: "55555" })],
    );
    expect(found.inodes).toMatchObject({ newCount: 1, renumberedCount: 2, removedCount: 1 });
  });

  test("with several differences are counted under all of them together", async () => {
    const found = await diffOf(
      [files({ a: "1", b: "2" })],
      [files({ a: "11", b: "2" }, { mtime: 5, mode: 0o7 })],
    );
    expect([...found.inodes.changes]).toEqual([
      ["mode,mtime", 1],
      ["mode,size,mtime", 1],
    ]);
  });
});

describe("for any two trees", () => {
  const size = fc.oneof(fc.nat(20_000), fc.nat(600_000));
  const file = fc.record({
    name: fc.constantFrom("a", "b", "c", "e", "f", "g", "h", "d/x", "d/y", "d-e"),
    seed: fc.nat(3),
    size,
  });
  const tree = fc.uniqueArray(file, { selector: ({ name }) => name, maxLength: 8 });
  type File = { readonly name: string; readonly seed: number; readonly size: number };
  const tarOf = (all: readonly File[]): TarBuilder =>
    all.reduce(
      (tar, { name, seed, size: bytes }) => tar.file(name, noise(seed, bytes)),
      tarBuilder().dir("d"),
    );

  test("chunk counts are those of sets of digests, and reasons those of the contents", async () => {
    await fc.assert(
      fc.asyncProperty(tree, tree, async (before, after) => {
        const found = await diffOf([tarOf(before)], [tarOf(after)]);
        const [old, young] = [await plainDigests(found.contents[0]), await plainDigests(found.contents[1])];
        const fresh = new Set(young.filter((digest) => !old.includes(digest)));
        expect(found.chunks).toEqual({
          commonCount: new Set(young).size - fresh.size,
          onlyBeforeCount: new Set(old.filter((digest) => !young.includes(digest))).size,
          onlyAfterCount: fresh.size,
        });
        expect(found.regions.reduce((sum, { newCount }) => sum + newCount, 0)).toBe(fresh.size);
        for (const { path, type, reason, newBytes, newChunkCount } of found.paths) {
          expect(newBytes).toBeLessThanOrEqual(newChunkCount * CHUNK_BYTES);
          if (type !== "file") continue;
          const [was, is] = [before, after].map((all) => all.find(({ name }) => `/${name}` === path));
          const isSame = was?.size === is?.size && (was?.seed === is?.seed || is?.size === 0);
          const allowed = was === undefined ? ["new"] : isSame ? ["moved", "neighbour"] : ["changed"];
          expect([path, allowed]).toEqual([path, expect.arrayContaining([reason])]);
        }
        for (const { region, reasons } of found.regions) {
          if (region.kind !== "segment") continue;
          const told = found.paths.filter(({ type }) => type === "file");
          for (const reason of COST_REASONS) {
            const ofReason = told.filter((path) => path.reason === reason);
            expect(reasons[reason]).toEqual({
              pathCount: ofReason.length,
              newBytes: ofReason.reduce((sum, { newBytes }) => sum + newBytes, 0),
            });
          }
        }
      }),
      { numRuns: 10, endOnFailure: true },
    );
  });
});

test("the paths with the most bytes are told of, up to the limit, and the others counted", async () => {
  const { content: before } = await convertAs(place, "app", [files({ z: "z" }).end()]);
  const all = Array.from(
    { length: 12 },
    (_, index) => [`f${10 + index}`, noise(index, (index + 1) * 4096)] as const,
  );
  const { content: after } = await convertAs(place, "app", [files(Object.fromEntries(all)).end()]);
  const told = async (pathCountMax: number): Promise<readonly [number, number, number]> => {
    const found = await diffImages({ store: place.store, before, after, pathCountMax });
    const least = found.paths.at(-1)?.newBytes ?? 0;
    expect(found.paths.map(({ newBytes }) => newBytes).every((sizeBytes) => sizeBytes >= least)).toBe(true);
    return [found.paths.length, found.morePaths.pathCount, found.morePaths.newBytes];
  };
  // The root directory is the thirteenth, and as large as the smallest file.
  expect(await told(13)).toEqual([13, 0, 0]);
  expect(await told(12)).toEqual([12, 1, 4096]);
  expect(await told(3)).toEqual([3, 10, 4096 + (9 * 10 * 4096) / 2]);
});

test("a diff stops when told to", async () => {
  const { content } = await convertAs(place, "app", [files(THREE).end()]);
  const input = { store: place.store, before: content, after: content, pathCountMax: 1 };
  const reading = diffImages({ ...input, signal: AbortSignal.abort() });
  await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
});
