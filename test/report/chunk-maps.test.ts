import { expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { DIGEST_BYTES } from "../../src/chunk/chunk.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import { ChunkCensus } from "../../src/report/chunk-census.ts";
import {
  cellCount,
  ChunkMapBuilder,
  MAP_IMAGES_MAX,
  pathsPerChunk,
  type MappedImage,
} from "../../src/report/chunk-maps.ts";
import { DiskRegions, type Region } from "../../src/report/disk-regions.ts";
import { sampleContent } from "../support/manifest-sample.ts";

const REGIONS: readonly Region[] = [
  { kind: "superblock", layerIndex: undefined, firstChunk: 0, chunkCount: 1 },
  { kind: "segment", layerIndex: 0, firstChunk: 1, chunkCount: 4 },
  { kind: "inodes", layerIndex: undefined, firstChunk: 5, chunkCount: 2 },
  { kind: "free", layerIndex: undefined, firstChunk: 7, chunkCount: 9 },
];
const DISK = new DiskRegions(REGIONS, { inodeTableBlock: 5 * 128, inodeBytes: 256 });

/** An image whose chunks, by index, have names that a number stands for. */
function imageOf(chunks: Readonly<Record<number, number>>): ManifestContent {
  const indexes = Object.keys(chunks).map(Number);
  const names = new Uint8Array(indexes.length * DIGEST_BYTES);
  for (const [at, chunkIndex] of indexes.entries()) {
    names.fill(chunks[chunkIndex] ?? 0, at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
  }
  return { ...sampleContent(0), diskChunkCount: 16, indexes: Uint32Array.from(indexes), names };
}

function mapsOf(
  images: readonly ManifestContent[],
  contents: MappedImage["contents"] = new Map(),
): ReturnType<ChunkMapBuilder["finish"]> {
  const census = new ChunkCensus();
  const counted = images.map((content) => census.add(content));
  const builder = new ChunkMapBuilder(census, counted);
  for (const [index, content] of images.entries()) {
    const chunks = counted[index]!;
    builder.add({ title: `image ${index}`, lines: [], content, chunks, regions: DISK, contents });
  }
  return builder.finish("");
}

test("every chunk is in its region, with those who share it", () => {
  const { images, drawing } = mapsOf([
    imageOf({ 0: 1, 1: 2, 3: 3, 5: 4 }),
    imageOf({ 0: 9, 1: 2, 2: 3, 5: 4 }),
  ]);
  const sharers = (image: number): unknown[] =>
    drawing.images[image]!.regions.map(({ label, first, sets }) => [
      label,
      first,
      sets.map((set) => (set < 0 ? "zero" : drawing.sets[set]!)),
    ]);
  const [own, both] = [
    [1, [0]],
    [2, [0, 1]],
  ];
  expect(sharers(0)).toEqual([
    ["superblock", 0, [own]],
    ["layer 1 files", 1, [both, "zero", both, "zero"]],
    ["inode tables", 5, [both, "zero"]],
  ]);
  expect(sharers(1)[0]).toEqual(["superblock", 0, [[1, [1]]]]);
  expect(images[0]).toMatchObject({
    note: "Not drawn: 9 zero chunks of free space.",
    regionRows: [
      ["superblock", "0", "1", "0", "1", "0"],
      ["layer 1 files", "1", "2", "2", "0", "2"],
      ["inode tables", "5", "1", "1", "0", "1"],
    ],
  });
});

test("free space that holds something is drawn", () => {
  const content = imageOf({ 0: 1, 12: 2 });
  const { images, drawing } = mapsOf([content]);
  expect(drawing.images[0]!.regions.map(({ label }) => label)).toEqual(["superblock", "free space"]);
  expect(images[0]!.note).toBe("Not drawn: 6 zero chunks of free space.");
  expect(cellCount(content, DISK)).toBe(1 + 9);
});

test("equal lists of paths are there once, bytes that are no text as escapes", () => {
  const contents = new Map(
    [1, 3].map((chunkIndex) => [
      chunkIndex,
      { pathCount: 3, kept: [{ path: asByteString("/\xff\x07"), sizeBytes: 4096 }] },
    ]),
  );
  const { drawing } = mapsOf([imageOf({ 1: 1, 2: 2, 3: 3 })], contents);
  expect(drawing.lists).toEqual([[3, [["/\\xff\\x07", "4.00 KiB"]]]]);
  expect(drawing.images[0]!.regions[0]!.lists).toEqual([0, -1, 0, -1]);
});

test("as many images as can be told apart are told apart", () => {
  const { drawing } = mapsOf(Array.from({ length: MAP_IMAGES_MAX }, () => imageOf({ 0: 1 })));
  expect(drawing.sets).toEqual([
    [MAP_IMAGES_MAX, Array.from({ length: MAP_IMAGES_MAX }, (_, index) => index)],
  ]);
});

test.each([
  [0, 8],
  [50_000, 8],
  [50_001, 7],
  [400_000, 1],
  [4_000_000, 1],
])("of %i chunks, %i paths each are kept", (chunkCount, pathCount) => {
  expect(pathsPerChunk(chunkCount)).toBe(pathCount);
});
