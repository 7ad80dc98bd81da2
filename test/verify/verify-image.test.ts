import { rmSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { definite } from "../../src/base/error.ts";
import { tableChunkName } from "../../src/manifest/manifest.ts";
import { verifyImage, type VerifyReport } from "../../src/verify/verify-image.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";
import {
  chunkFile,
  convertLayers,
  EXT2FS_PROGRAM,
  flipBit,
  LAYER_BYTES_MAX,
  layoutOf,
  openLayout,
  openTestStore,
  type TestImage,
  type TestStore,
} from "./_support.ts";

let place: TestStore;
let original: TestImage;
beforeAll(async () => {
  place = await openTestStore();
  original = await convertLayers(place, [layerOf({})]);
});
afterAll(() => place.close());

/** What can be changed of the layer that all images here are made of. */
interface Changes {
  readonly fields?: Parameters<TarBuilder["file"]>[2];
  readonly name?: string;
  readonly body?: string;
  readonly mtime?: string;
  readonly xattrs?: readonly (readonly [string, string])[];
  readonly target?: string;
  readonly minor?: number;
  readonly linkTo?: string;
  readonly isFifo?: boolean;
  readonly more?: string;
}

function layerOf(changes: Changes): TarBuilder {
  const { fields = {}, name = "d/f", body = "text", mtime = "1.000000001", isFifo = false } = changes;
  const records = [["mtime", mtime], ...(changes.xattrs ?? [["SCHILY.xattr.user.a", "1"]])] as const;
  const tar = tarBuilder().dir("d").pax(records);
  if (isFifo) tar.fifo(name, fields);
  else tar.file(name, body, fields);
  tar
    .file("one", "same")
    .file("two", "same")
    .hardlink("link", changes.linkTo ?? "one")
    .symlink("l", changes.target ?? "d")
    .device("n", "char", { devmajor: 1, devminor: changes.minor ?? 3 });
  return changes.more === undefined ? tar : tar.file(changes.more);
}

async function verify(
  image: TestImage,
  options: { readonly layout?: string; readonly withExt2fs?: boolean } = {},
): Promise<VerifyReport> {
  const source = options.layout === undefined ? undefined : await openLayout(options.layout);
  try {
    return await verifyImage({
      store: place.store,
      manifestId: image.manifestId,
      content: image.content,
      customerKey: place.keyring.customerKey(),
      withExt2fs: options.withExt2fs ?? false,
      ext2fsProgram: EXT2FS_PROGRAM,
      source: source && { image: source, layerBytesMax: LAYER_BYTES_MAX },
    });
  } finally {
    await source?.close();
  }
}

describe("an image as it was converted", () => {
  test("passes every check", async () => {
    const report = await verify(original, { layout: original.layout, withExt2fs: true });
    expect(report.isOk).toBe(true);
    expect(report.ext2fs?.failure).toBeUndefined();
    expect(report.ext2fs?.pathCount).toBe(report.files?.problem === undefined ? report.files?.pathCount : -1);
    expect(report.source?.differences.kept).toEqual([]);
    expect(report.files).toMatchObject({ fileCount: 3, fileBytes: 12 });
  });

  test("passes with what was not asked for left out", async () => {
    const report = await verify(original);
    expect(report).toMatchObject({ isOk: true, ext2fs: undefined, source: undefined });
  });

  test("is another if only its config differs: the tree is the same, the source's digest is not", async () => {
    const layout = layoutOf(place, [layerOf({})], { Cmd: ["x"] });
    const { isOk, source } = await verify(original, { layout });
    expect(isOk).toBe(false);
    expect(source?.differences.kept.map(({ path, field }) => [path, field])).toEqual([["", "sourceDigest"]]);
  });
});

describe("an image that differs from its source", () => {
  const f = (field: string, expected: string | number, found: string | number): readonly unknown[] => [
    ["/d/f", field, expected, found],
  ];
  const cases: readonly (readonly [string, Changes, readonly unknown[]])[] = [
    ["mode", { fields: { mode: 0o4644 } }, f("mode", "0644", "4644")],
    ["uid", { fields: { uid: 70_000 } }, f("uid", 0, 70_000)],
    ["gid", { fields: { gid: 5 } }, f("gid", 0, 5)],
    ["nanosecond", { mtime: "1.000000002" }, f("mtime", "1.000000001", "1.000000002")],
    ["attribute", { xattrs: [["SCHILY.xattr.user.a", "2"]] }, f("xattr user.a", "0x31", "0x32")],
    ["attribute missing", { xattrs: [] }, f("xattr user.a", "0x31", "absent")],
    ["attribute too many", { xattrs: [["SCHILY.xattr.user.a", "1"], ["SCHILY.xattr.user.b", ""], ["SCHILY.xattr.user.c", "x"]] }, [...f("xattr user.b", "absent", "0x"), ...f("xattr user.c", "absent", "0x78")]],
    ["link target", { target: "e" }, [["/l", "target", "d", "e"]]],
    ["device", { minor: 5 }, [["/n", "device", "1:3", "1:5"]]],
    ["path too many", { more: "d/g" }, [["/d/g", "path", "absent", "file"]]],
    ["name", { name: "d/e" }, [["/d/e", "path", "absent", "file"], ["/d/f", "path", "file", "absent"]]],
    ["group of links", { linkTo: "two" }, [["/one", "links", 2, 1], ["/one", "sameFileAs", "/link", "/one"], ["/two", "links", 1, 2], ["/two", "sameFileAs", "/two", "/link"]]],
  ]; // prettier-ignore

  test.each(cases)("in %s is told of, and of nothing else", async (_name, changes, expected) => {
    const changed = await convertLayers(place, [layerOf(changes)]);
    const { isOk, source } = await verify(changed, { layout: original.layout });
    expect(isOk).toBe(false);
    const [first, ...rest] = source?.differences.kept ?? [];
    expect(first?.field).toBe("sourceDigest");
    expect(rest.map(({ path, field, ...sides }) => [path, field, sides.expected, sides.found])).toEqual(
      expected,
    );
  });

  test.each([
    ["size and content", { body: "texts" }, ["content", "size"]],
    ["content", { body: "tExt" }, ["content"]],
    ["type", { isFifo: true, xattrs: [] }, ["type", "xattr user.a"]],
  ])("in %s is told of, and of nothing else", async (_name, changes, fields) => {
    const changed = await convertLayers(place, [layerOf(changes)]);
    const { source } = await verify(changed, { layout: original.layout });
    const found = (source?.differences.kept ?? []).slice(1);
    expect(found.map(({ path }) => path)).toEqual(fields.map(() => "/d/f"));
    expect(found.map(({ field }) => field).sort((a, b) => (a < b ? -1 : 1))).toEqual(fields);
  });
});

describe("an image that is damaged", () => {
  test("in a chunk is not read further", async () => {
    const image = await convertLayers(place, [tarBuilder().file("damaged", "flipped")]);
    flipBit(chunkFile(place, tableChunkName(image.content, 1)), 0);
    const report = await verify(image, { layout: image.layout, withExt2fs: true });
    expect(report).toMatchObject({ isOk: false, files: undefined, ext2fs: undefined, source: undefined });
    expect(report.chunks.damaged).toMatchObject([{ code: "CHUNK_CORRUPT" }]);
    expect(report.diskDigest.found).toBeUndefined();
  });

  test("by a manifest that leaves a chunk out is found by the digest, and by the readers", async () => {
    const { content, layout } = original;
    const last = content.indexes.length - 1;
    const cut = {
      ...content,
      indexes: content.indexes.slice(0, last),
      names: content.names.slice(0, last * 32),
      keys: content.keys.slice(0, last * 32),
    };
    const report = await verify({ ...original, content: cut }, { layout });
    expect(report.isOk).toBe(false);
    expect(report.diskDigest.found).not.toBe(report.diskDigest.expected);
  });

  test("by a manifest whose file system is no such thing says so", async () => {
    const { content } = original;
    const cut = {
      ...content,
      indexes: content.indexes.slice(0, 0),
      names: content.names.slice(0, 0),
      keys: content.keys.slice(0, 0),
    };
    const report = await verify({ ...original, content: cut });
    expect(report.isOk).toBe(false);
    expect(report.files?.problem?.code).toMatch(/^DISK_IMAGE_(INVALID|UNSUPPORTED)$/);
  });

  test("by a source that is damaged itself cannot be judged: the source's error is thrown", async () => {
    const image = await convertLayers(place, [tarBuilder().file("a", "b")]);
    rmSync(`${image.layout}/blobs/sha256/${definite((await layerFiles(image))[0], "layer")}`);
    await expect(verify(image, { layout: image.layout, withExt2fs: true })).rejects.toMatchObject({
      code: "SOURCE_NOT_FOUND",
    });
  });
});

async function layerFiles(image: TestImage): Promise<string[]> {
  const source = await openLayout(image.layout);
  await source.close();
  return source.layers.map(({ stored }) => definite(stored, "stored").digest.slice("sha256:".length));
}
