import { afterAll, beforeAll, expect, test } from "vitest";

import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { sealManifest } from "../../src/crypto/manifest-seal.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";
import { reportStore } from "../../src/report/store-report.ts";
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
