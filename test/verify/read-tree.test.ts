import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import { ContentDigestBuilder } from "../../src/verify/content-digest.ts";
import { readTree, type TreeReading } from "../../src/verify/read-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { convertLayers, openTestStore, recordsOf, type TestStore } from "./_support.ts";

let place: TestStore;
beforeAll(async () => {
  place = await openTestStore();
});
afterAll(() => place.close());

async function readerOf(
  tar: ReturnType<typeof tarBuilder>,
): Promise<{ reader: Ext4Reader; device: ImageDevice }> {
  const { content } = await convertLayers(place, [tar]);
  const device = new ImageDevice(place.store, content);
  return { reader: await Ext4Reader.open(device), device };
}

async function treeOf(tar: ReturnType<typeof tarBuilder>): Promise<TreeReading> {
  return readTree((await readerOf(tar)).reader);
}

describe("the tree of a disk image", () => {
  test("has what its layer says", async () => {
    const tar = tarBuilder()
      .pax([
        ["SCHILY.xattr.user.a", "v"],
        ["mtime", "-1.5"],
      ])
      .file("f", "text", { mode: 0o4711, uid: 70_000, gid: 3 })
      .hardlink("d/g", "f")
      .symlink("l", "\xff")
      .device("n", "block", { devmajor: 8, devminor: 17 });
    const { tree, fileCount, fileBytes } = await treeOf(tar);
    expect([...tree.keys()].filter((path) => !path.startsWith("/lost"))).toEqual([
      "/",
      "/d",
      "/d/g",
      "/f",
      "/l",
      "/n",
    ]);
    const file = tree.get(asByteString("/f"));
    expect(file).toEqual({
      type: "file",
      mode: 0o4711,
      uid: 70_000,
      gid: 3,
      mtime: { seconds: -2, nanoseconds: 500_000_000 },
      sizeBytes: 4,
      content: recordsOf(tarBuilder().file("f", "text"))[0]?.content,
      linkTarget: "",
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: new Map([["user.a", "0x76"]]),
      linkCount: 2,
    });
    expect(tree.get(asByteString("/d/g"))).toBe(file);
    expect(tree.get(asByteString("/l"))).toMatchObject({ type: "symlink", linkTarget: "\xff", sizeBytes: 0 });
    expect(tree.get(asByteString("/n"))).toMatchObject({ type: "block", deviceMajor: 8, deviceMinor: 17 });
    expect([fileCount, fileBytes]).toEqual([1, 4]);
  });

  test("gives the content of sparse files without reading their holes", async () => {
    const parts = Array.from({ length: 40 }, (_, i) => ({
      offset: i * 3 * 2 ** 20 + 512 * i,
      bytes: `${i}`.padEnd(512),
    }));
    const tar = tarBuilder()
      .sparse("pax-1.0", { path: "s", realSize: 2 ** 40, parts })
      .sparse("pax-1.0", { path: "zeros", realSize: 2 ** 42 - 1, parts: [] });
    const { reader, device } = await readerOf(tar);
    const { tree } = await readTree(reader);
    expect(tree.get(asByteString("/s"))?.content).toBe(recordsOf(tar)[0]?.content);
    expect(tree.get(asByteString("/zeros"))?.content).toBe(new ContentDigestBuilder().finish(2 ** 42 - 1));
    expect(device.chunksRead).toBeLessThan(20);
  });

  test("is not read on when the caller has enough", async () => {
    const { reader } = await readerOf(tarBuilder().file("a"));
    await expect(readTree(reader, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "CANCELLED",
    });
  });
});
