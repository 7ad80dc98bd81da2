import fc from "fast-check";
import { describe, expect, test } from "vitest";

import type { BlockSource } from "../../src/base/block-source.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import {
  CHUNK_BLOCKS,
  placesIn,
  readRegions,
  regionLabel,
  type DiskRegions,
} from "../../src/report/disk-regions.ts";
import { buildDiskImage, sourceOf, type DiskImage } from "../support/disk-image.ts";
import { describeWith, run } from "../support/judge.ts";
import { withDiskFile } from "../support/judge-disk.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { noise } from "./_store.ts";

const LOWER = tarBuilder().file("a", noise(1, 700_000)).file("b", noise(2, 5000)).end();
const UPPER = tarBuilder().file("c", noise(3, 2_000_000)).dir("d").end();

async function regionsOf(disk: DiskImage, segmentChunks: readonly number[]): Promise<DiskRegions> {
  const source = sourceOf(disk);
  const { superblock } = await Ext4Reader.open(source);
  const segments = segmentChunks.map((chunkCount, index) => ({
    firstChunk: (disk.plan.segmentStarts[index] ?? 0) / CHUNK_BLOCKS,
    chunkCount,
  }));
  return readRegions(source, superblock, segments);
}

/** A source of which only the group descriptor matters. */
function diskOf(
  chunkCount: number,
  blocks: { readonly bitmap: number; readonly table: number },
): BlockSource {
  const descriptor = new Uint8Array(32);
  const view = new DataView(descriptor.buffer);
  view.setUint32(0, blocks.bitmap, true);
  view.setUint32(8, blocks.table, true);
  return { sizeBytes: chunkCount * CHUNK_BYTES, read: () => Promise.resolve(descriptor) };
}

describeWith(["dumpe2fs"], "regions", () => {
  test.each([
    ["one group, bitmaps beside the superblock", { kind: "auto" } as const],
    ["many groups, bitmaps of their own", { kind: "total", sizeBytes: 9 * 2 ** 30 } as const],
  ])("are where dumpe2fs says: %s", async (_, sizeRequest) => {
    const disk = buildDiskImage([LOWER, new Uint8Array(1024), UPPER], { sizeRequest });
    const regions = await regionsOf(disk, [2, 0, 4]);
    const told = await withDiskFile(disk, (file) => run("dumpe2fs", [file]));
    const chunksOf = (pattern: RegExp): number[] =>
      [...told.matchAll(pattern)].map(([, block]) => Math.floor(Number(block) / CHUNK_BLOCKS));
    const tables = [...told.matchAll(/Inode table at (\d+)-(\d+)/g)].map(([, from, to]) => [
      Math.floor(Number(from) / CHUNK_BLOCKS),
      Math.floor(Number(to) / CHUNK_BLOCKS),
    ]);
    expect(tables.length).toBeGreaterThan(0);
    for (const chunkIndex of tables.flat()) expect(regions.at(chunkIndex)?.kind).toBe("inodes");
    const bitmaps = [...chunksOf(/Block bitmap at (\d+)/g), ...chunksOf(/Inode bitmap at (\d+)/g)];
    for (const chunkIndex of bitmaps) {
      expect(regions.at(chunkIndex)?.kind).toBe(chunkIndex === 0 ? "superblock" : "bitmaps");
    }
    expect(bitmaps.some((chunkIndex) => chunkIndex > 0)).toBe(sizeRequest.kind === "total");
    const inodesPerGroup = Number(/Inodes per group: +(\d+)/.exec(told)?.[1]);
    for (const [group, table] of tables.entries()) {
      expect(regions.inodeChunk(group * inodesPerGroup + 1)).toBe(table[0]);
    }
  });
});

describe("regions", () => {
  test("name each chunk once, segments by their layers", async () => {
    const disk = buildDiskImage([LOWER, new Uint8Array(1024), UPPER]);
    const regions = await regionsOf(disk, [2, 0, 4]);
    expect(regions.all.map((region) => [regionLabel(region), region.firstChunk, region.chunkCount])).toEqual([
      ["superblock", 0, 1],
      ["layer 1 files", 1, 2],
      ["layer 3 files", 3, 4],
      // A few directories lie in chunk 0.
      ["inode tables", 7, 4],
      ["free space", 11, 245],
    ]);
  });

  test("tell of directories that have chunks of their own, and of metadata that does not fit chunk 0", async () => {
    const many = tarBuilder();
    for (let i = 0; i < 128; i++) many.dir(`d${i}`);
    const links = tarBuilder();
    for (let i = 0; i < 200; i++) links.symlink(`l${i}`, "t".repeat(80));
    const disk = buildDiskImage([many.end(), LOWER, links.end()]);
    const regions = await regionsOf(disk, [0, 2, 0]);
    expect(regions.all.map((region) => [regionLabel(region), region.firstChunk, region.chunkCount])).toEqual([
      ["superblock", 0, 1],
      // Their slots are more than 128, since there are cuts between them.
      ["directories", 1, 2],
      ["layer 2 files", 3, 2],
      ["directories", 5, 1],
      ["inode tables", 6, 4],
      ["free space", 10, 246],
    ]);
  });

  test("cover the disk without gaps whatever a manifest says of segments", async () => {
    const disk = buildDiskImage([LOWER]);
    const { superblock } = await Ext4Reader.open(sourceOf(disk));
    const small = fc.nat(40);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ firstChunk: small, chunkCount: small }), { maxLength: 5 }),
        fc.record({ bitmap: fc.nat(6000), table: fc.nat(6000) }),
        fc.integer({ min: 1, max: 40 }),
        async (segments, blocks, chunkCount) => {
          const regions = await readRegions(diskOf(chunkCount, blocks), superblock, segments);
          let next = 0;
          for (const region of regions.all) {
            expect(region.firstChunk).toBe(next);
            expect(region.chunkCount).toBeGreaterThan(0);
            next += region.chunkCount;
            expect(regions.at(region.firstChunk)).toBe(region);
            expect(regions.at(next - 1)).toBe(region);
          }
          expect(next).toBe(chunkCount);
        },
      ),
    );
  });
});

test("the places of a region are those of its chunk indexes", () => {
  const index = fc.nat(50);
  fc.assert(
    fc.property(
      fc.uniqueArray(index),
      index,
      fc.integer({ min: 1, max: 20 }),
      (all, firstChunk, chunkCount) => {
        const indexes = Uint32Array.from(all.sort((left, right) => left - right));
        const table = { diskChunkCount: 100, indexes, names: new Uint8Array(0) };
        const { from, to } = placesIn(table, { kind: "free", layerIndex: undefined, firstChunk, chunkCount });
        expect([...indexes.subarray(from, to)]).toEqual(
          all.filter((chunkIndex) => chunkIndex >= firstChunk && chunkIndex < firstChunk + chunkCount),
        );
      },
    ),
  );
});
