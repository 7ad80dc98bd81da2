import { rmSync, truncateSync } from "node:fs";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { definite } from "../../src/base/error.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { tableChunkName } from "../../src/manifest/manifest.ts";
import { checkChunks, type ChunkReport } from "../../src/verify/check-chunks.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import {
  chunkFile,
  convertLayers,
  flipBit,
  openTestStore,
  type TestImage,
  type TestStore,
} from "./_support.ts";

let place: TestStore;
let image: TestImage;

beforeEach(async () => {
  place = await openTestStore();
  // Two chunks of a body, all different.
  const body = new Uint8Array(2 * CHUNK_BYTES).map((_, i) => i % 251);
  image = await convertLayers(place, [tarBuilder().file("a", body).file("b", "b")]);
});
afterEach(() => place.close());

function check(content = image.content): Promise<ChunkReport> {
  return checkChunks(new ImageDevice(place.store, content), content);
}

describe("the chunks of an image", () => {
  test("that are all right give the manifest's disk digest", async () => {
    const report = await check();
    expect(report).toEqual({
      checkedCount: image.content.indexes.length,
      damaged: [],
      moreDamaged: 0,
      diskDigest: image.content.image.diskDigest,
    });
    expect(report.checkedCount).toBeGreaterThan(3);
  });

  test("that are damaged are all told of, each with what it should be and what it is", async () => {
    const [first, second, third] = [0, 1, 2].map((position) => tableChunkName(image.content, position));
    const indexes = [...image.content.indexes];
    flipBit(chunkFile(place, definite(first, "chunk")), 12_345);
    rmSync(chunkFile(place, definite(second, "chunk")));
    truncateSync(chunkFile(place, definite(third, "chunk")), 1000);
    const { damaged, checkedCount, diskDigest } = await check();
    expect(damaged).toMatchObject([
      { chunkIndex: indexes[0], code: "CHUNK_CORRUPT", expected: `sha256:${first ?? ""}` },
      { chunkIndex: indexes[1], code: "CHUNK_NOT_FOUND" },
      { chunkIndex: indexes[2], code: "CHUNK_CORRUPT", expected: CHUNK_BYTES, found: 1000 },
    ]);
    expect(damaged[0]?.found).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(damaged[0]?.found).not.toBe(damaged[0]?.expected);
    expect(checkedCount).toBe(indexes.length);
    expect(diskDigest).toBeUndefined();
  });

  test("that have another's key are found by the disk digest", async () => {
    const keys = image.content.keys.slice();
    keys.copyWithin(0, 32, 64);
    const { damaged, diskDigest } = await check({ ...image.content, keys });
    expect(damaged).toEqual([]);
    expect(diskDigest).not.toBe(image.content.image.diskDigest);
  });

  test("that have changed places are found by the disk digest", async () => {
    const indexes = image.content.indexes.map((chunkIndex, i) => (i === 0 ? chunkIndex : chunkIndex + 1));
    const { diskDigest } = await check({ ...image.content, indexes });
    expect(diskDigest).not.toBe(image.content.image.diskDigest);
  });

  test("are not read on when the caller has enough", async () => {
    const options = { signal: AbortSignal.abort() };
    const device = new ImageDevice(place.store, image.content);
    await expect(checkChunks(device, image.content, options)).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

describe("a store that cannot be read", () => {
  test("proves nothing: its error is thrown", async () => {
    rmSync(place.store.path, { recursive: true });
    await expect(check()).rejects.toMatchObject({ code: "STORE_NOT_FOUND" });
  });
});
