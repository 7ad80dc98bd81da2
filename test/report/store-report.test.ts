import { rm, truncate } from "node:fs/promises";
import path from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { digestHex } from "../../src/base/digest.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";
import { tableChunkName } from "../../src/manifest/manifest.ts";
import { reportStore } from "../../src/report/store-report.ts";
import { chunkPath } from "../../src/store/chunk-writer.ts";
import { sampleContent } from "../support/manifest-sample.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { convertAs, noise, openTestStore, type TestStore } from "./_store.ts";

let place: TestStore;
beforeAll(async () => {
  place = await openTestStore();
});
afterAll(() => place.close());

const BASE = tarBuilder().file("large", noise(1, 1_300_000)).end();
/** As docs/cli.md has them. */
const SHARED_CHUNKS_MAX = 100;
const MATRIX_IMAGES_MAX = 200;
const TOP = tarBuilder().file("own", noise(2, 600_000)).end();

test("a store without images has an empty report", async () => {
  const report = await reportStore(place);
  expect(report).toMatchObject({ images: [], matrix: [], mostShared: [] });
  expect(report.totals).toEqual({ diskBytes: 0, filledBytes: 0, storedBytes: 0 });
});

test("two names of a manifest are one image; a manifest without a name is one, too", async () => {
  const { manifestId: base } = await convertAs(place, "z", [BASE]);
  await place.store.putRef(place.keyring.customerId, "a", base);
  const { manifestId: lost } = await convertAs(place, "lost", [BASE, TOP]);
  await place.store.removeRef(place.keyring.customerId, "lost");
  const { images, matrix, mostShared, totals, census } = await reportStore(place);
  expect(images.map(({ manifestId, names }) => [manifestId, names])).toEqual([
    [base, ["a", "z"]],
    [lost, []],
  ]);
  for (const image of images) {
    expect(image.zeroCount + image.filledCount).toBe(image.chunkCount);
    expect(image.uniqueCount + image.sharedCount).toBe(image.distinctCount);
  }
  // The three chunks of the base layer's segment.
  expect(matrix[0]?.[1]).toBe(images[0]?.sharedCount);
  expect(matrix[1]?.[0]).toBe(matrix[0]?.[1]);
  expect(matrix.map((row, index) => row[index])).toEqual(images.map(({ distinctCount }) => distinctCount));
  expect(images[0]?.sharedCount).toBeGreaterThanOrEqual(3);
  expect(totals.storedBytes).toBe(census.chunkCount * 524_288);
  expect(mostShared.slice(0, 1)).toMatchObject([
    { imageCount: 2, imageIndex: 0, region: { kind: "segment", layerIndex: 0 }, contents: { pathCount: 1 } },
  ]);
  expect(mostShared[0]?.contents.kept[0]?.path).toBe("/large");
  expect(await place.store.hasChunk(mostShared[0]!.name)).toBe(true);
});

describe("what cannot be read", () => {
  let damaged: TestStore;
  beforeEach(async () => {
    damaged = await openTestStore();
  });
  afterEach(() => damaged.close());

  const fileOf = (...names: readonly string[]): string => path.join(damaged.store.path, "roots/r0", ...names);

  test("is told by every name, in byte order, and keeps no other image out", async () => {
    const { store, keyring } = damaged;
    const { customerId } = keyring;
    const { manifestId: bad } = await convertAs(damaged, "bad", [BASE]);
    for (const name of ["also-bad", "gone"]) await store.putRef(customerId, name, bad);
    const { manifestId: nameless } = await convertAs(damaged, "lost", [TOP]);
    await store.removeRef(customerId, "lost");
    const { manifestId: good } = await convertAs(damaged, "good", [BASE, TOP]);
    for (const id of [bad, nameless]) await truncate(fileOf("manifests", customerId, digestHex(id)), 100);
    await truncate(fileOf("refs", customerId, "gone"), 10);
    const { images, unreadable, totals, mostShared } = await reportStore(damaged);
    expect(images.map(({ manifestId, names }) => [manifestId, names])).toEqual([[good, ["good"]]]);
    expect(images[0]?.uniqueCount).toBe(images[0]?.distinctCount);
    expect([totals.diskBytes, mostShared]).toEqual([images[0]?.diskBytes, []]);
    const told = unreadable.map(({ name, manifestId, error }) => [name, manifestId, error.code]);
    expect(told).toEqual([
      ["also-bad", bad, "DIGEST_MISMATCH"],
      ["bad", bad, "DIGEST_MISMATCH"],
      ["gone", undefined, "STORE_INVALID"],
      [undefined, nameless, "DIGEST_MISMATCH"],
    ]);
    for (const { name, manifestId, error } of unreadable) {
      expect(error.message.startsWith(`${name ?? manifestId ?? ""}: `)).toBe(true);
      expect(error.details["image"]).toBe(name ?? manifestId);
    }
  });

  test("of an image are its files alone where a chunk is damaged: its counts stay, another says what is in chunks", async () => {
    const { store } = damaged;
    const { content } = await convertAs(damaged, "a", [BASE]);
    const { content: other } = await convertAs(damaged, "b", [BASE, TOP]);
    const whole = await reportStore(damaged);
    expect([whole.unreadable, whole.mostShared[0]?.imageIndex]).toEqual([[], 0]);
    // The superblock is in chunk 0, which no two images share.
    expect(tableChunkName(other, 0)).not.toBe(tableChunkName(content, 0));
    await truncate(chunkPath(fileOf("chunks"), tableChunkName(content, 0)), 100);
    const { images, unreadable, mostShared } = await reportStore(damaged);
    expect(images).toEqual(whole.images);
    expect(unreadable).toMatchObject([
      { name: "a", error: { code: "CHUNK_CORRUPT", details: { image: "a" } } },
    ]);
    expect(mostShared.map(({ name, imageIndex }) => [name, imageIndex])).toEqual(
      whole.mostShared.map(({ name }) => [name, 1]),
    );
    expect(await store.hasChunk(tableChunkName(content, 0))).toBe(false);
  });

  test("is no single image where the store is gone", async () => {
    const { store, keyring } = damaged;
    await convertAs(damaged, "a", [BASE]);
    const listed = await store.listRefs(keyring.customerId);
    await rm(store.path, { recursive: true });
    const late = Object.assign(Object.create(store) as typeof store, {
      listRefs: () => Promise.resolve(listed),
      listManifests: () => Promise.resolve([]),
      getManifest: store.getManifest.bind(store),
    });
    await expect(reportStore({ store: late, keyring })).rejects.toMatchObject({ code: "STORE_NOT_FOUND" });
  });
});

test("another customer sees nothing of it", async () => {
  const keyring = keyringOf(asCustomerKey(new Uint8Array(32).fill(9)));
  expect((await reportStore({ store: place.store, keyring })).images).toEqual([]);
});

test("the most shared chunks end at their limit", async () => {
  const large = await openTestStore();
  try {
    const bytes = new Uint8Array((SHARED_CHUNKS_MAX + 1) * 524_288);
    for (let index = 0; index <= SHARED_CHUNKS_MAX; index++) bytes[index * 524_288] = index + 1;
    const layer = tarBuilder().file("large", bytes);
    await convertAs(large, "one", [layer.end()]);
    await convertAs(large, "two", [layer.file("more", "x").end()]);
    const { images, mostShared } = await reportStore(large);
    expect(images[0]?.sharedCount).toBeGreaterThan(SHARED_CHUNKS_MAX);
    expect(mostShared.length).toBe(SHARED_CHUNKS_MAX);
  } finally {
    await large.close();
  }
});

test.each([
  [MATRIX_IMAGES_MAX, MATRIX_IMAGES_MAX],
  [MATRIX_IMAGES_MAX + 1, MATRIX_IMAGES_MAX],
])("of %i images, %i are in the matrix", async (imageCount, matrixSize) => {
  const many = await openTestStore();
  try {
    const { keyring } = many;
    for (let image = 0; image < imageCount; image++) {
      // Chunks that no other image has, so that none of them is looked into.
      const content = sampleContent(1);
      content.names.set([image & 0xff, image >> 8]);
      await many.store.putManifest(keyring.customerId, sealManifest(content, keyring.customerKey()));
    }
    const { images, matrix } = await reportStore(many);
    expect(images.length).toBe(imageCount);
    expect(matrix.length).toBe(matrixSize);
    expect(matrix.flat().reduce((sum, count) => sum + count, 0)).toBe(matrixSize);
  } finally {
    await many.close();
  }
});

test("a report stops when told to", async () => {
  const reading = reportStore({ ...place, signal: AbortSignal.abort() });
  await expect(reading).rejects.toMatchObject({ code: "CANCELLED" });
});
