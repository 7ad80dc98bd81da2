import { describe, expect, test } from "vitest";

import { DISK_BYTES_MAX } from "../../src/base/limit.ts";
import { GIB, KIB, MIB } from "../../src/base/units.ts";
import { planGeometry, withMetadataEnd, type Geometry, type SizeRequest } from "../../src/ext4/geometry.ts";
import { codeOf } from "../support/judge-disk.ts";

const GROUP_BYTES = 128 * MIB;
const total = (sizeBytes: number): SizeRequest => ({ kind: "total", sizeBytes });
const free = (sizeBytes: number): SizeRequest => ({ kind: "free", sizeBytes });

/** What must hold for any disk: nothing overlaps, all is on the disk. */
function expectSane(geometry: Geometry, content: { metadataEnd: number; endNumber: number }): void {
  const { blockCount, groupCount, inodesPerGroup, inodeTableBlocksPerGroup, contentEnd } = geometry;
  expect(blockCount % 128).toBe(0);
  expect(groupCount).toBe(Math.ceil(blockCount / 32768));
  expect(geometry.descriptorBlocks).toBe(Math.ceil((groupCount * 32) / 4096));
  expect(inodesPerGroup % 16).toBe(0);
  expect(inodesPerGroup).toBeLessThanOrEqual(32768);
  expect(inodeTableBlocksPerGroup).toBe(inodesPerGroup / 16);
  expect(groupCount * inodesPerGroup).toBeGreaterThanOrEqual(content.endNumber - 1);
  const places = [
    [0, 1 + geometry.descriptorBlocks],
    [geometry.blockBitmapStart, geometry.blockBitmapStart + groupCount],
    [geometry.inodeBitmapStart, geometry.inodeBitmapStart + groupCount],
    [geometry.inodeTableStart, geometry.inodeTableStart + groupCount * inodeTableBlocksPerGroup],
  ].sort(([a = 0], [b = 0]) => a - b);
  places.reduce((end, [start = 0, next = 0]) => {
    expect(start).toBeGreaterThanOrEqual(end);
    return next;
  }, 0);
  expect(geometry.inodeTableStart).toBeGreaterThanOrEqual(content.metadataEnd);
  expect(contentEnd).toBeLessThanOrEqual(blockCount);
  expect(contentEnd).toBeGreaterThanOrEqual(places.at(-1)?.[1] ?? 0);
}

describe("the geometry", () => {
  test.each<[number, number, SizeRequest]>([
    [129, 20, { kind: "auto" }],
    [129, 20, free(0)],
    [129, 20, total(4 * MIB)],
    [32768, 1000, { kind: "auto" }],
    [32767, 32769, free(0)],
    [3_000_000, 500_000, { kind: "auto" }],
    [100_000, 3_000_000, free(0)],
    [129, 20, total(63 * GROUP_BYTES)],
    [129, 20, total(64 * GROUP_BYTES)],
    [129, 20, total(DISK_BYTES_MAX)],
  ])("for content up to block %i and inode %i is sane: %j", (metadataEnd, endNumber, request) => {
    expectSane(planGeometry({ metadataEnd, endNumber }, request), { metadataEnd, endNumber });
  });

  const content = { metadataEnd: 200, endNumber: 40 };

  test.each([
    [4 * MIB, 4 * MIB],
    [4 * MIB + 1, 4 * MIB + 512 * KIB],
    [GROUP_BYTES + 512 * KIB, GROUP_BYTES + 512 * KIB],
  ])("of a total of %i bytes has %i: whole chunks", (asked, sizeBytes) => {
    expect(planGeometry(content, total(asked)).blockCount * 4096).toBe(sizeBytes);
  });

  test.each([0, 1, 4096, 100 * MIB, 127 * MIB, GIB])("leaves %i bytes free where asked to", (sizeBytes) => {
    const { blockCount, contentEnd } = planGeometry(content, free(sizeBytes));
    expect((blockCount - contentEnd) * 4096).toBeGreaterThanOrEqual(sizeBytes);
    expect(blockCount % 32768).toBe(0);
  });

  test("left to itself leaves 64 MiB and a quarter of the content", () => {
    const large = { metadataEnd: 400_000, endNumber: 40 };
    const { blockCount, contentEnd } = planGeometry(large, { kind: "auto" });
    expect(blockCount - contentEnd).toBeGreaterThanOrEqual(16_384 + 100_000);
  });

  test("has an inode for every 16 KiB, and an eighth more than the content needs", () => {
    expect(planGeometry(content, total(GROUP_BYTES)).inodesPerGroup).toBe(32768 / 4);
    const many = { metadataEnd: 200, endNumber: 30_001 };
    const { groupCount, inodesPerGroup } = planGeometry(many, free(0));
    expect(groupCount * inodesPerGroup).toBeGreaterThanOrEqual(30_001 + 3750);
  });

  test("has room for the inodes of the content alone, where there is no more", () => {
    const { contentEnd } = planGeometry(content, total(8 * MIB));
    const tight = planGeometry(content, total(contentEnd * 4096));
    expect(tight.contentEnd).toBe(tight.blockCount);
  });

  test("adds groups where a bitmap cannot count the inodes", () => {
    const full = planGeometry({ metadataEnd: 200, endNumber: 32_769 }, total(GROUP_BYTES));
    expect([full.groupCount, full.inodesPerGroup]).toEqual([1, 32_768]);
    expect(codeOf(() => planGeometry({ metadataEnd: 200, endNumber: 32_770 }, total(GROUP_BYTES)))).toBe(
      "DISK_TOO_SMALL",
    );
    expect(planGeometry({ metadataEnd: 200, endNumber: 32_770 }, free(0)).groupCount).toBe(2);
  });

  test.each([
    // The superblock, descriptors of 128 groups a block, two bitmaps a group as long as all that is in chunk 0.
    [1, 1 + 1 + 2],
    [2, 1 + 1 + 4],
    [62, 1 + 1 + 124],
    [63, 128],
    [64, 1 + 1],
    [128, 1 + 1],
    [129, 1 + 2],
    [16_256, 128],
  ])("of %i groups has block %i as its first free one", (groups, block) => {
    const found = planGeometry(content, total(groups * GROUP_BYTES));
    expect(found.groupCount).toBe(groups);
    expect(found.firstFreeBlock).toBe(block);
    const bitmaps = [found.blockBitmapStart, found.inodeBitmapStart + groups];
    if (groups <= 63) expect(bitmaps).toEqual([2, block]);
    else expect(bitmaps[0]).toBeGreaterThanOrEqual(found.inodeTableStart);
  });

  test.each<[string, SizeRequest, number]>([
    ["bitmaps beside the superblock", { kind: "auto" }, 1],
    ["bitmaps behind the tables", total(9 * GIB), 72],
    ["few inodes, since more have no room", total(4 * MIB), 1],
  ])("with less metadata has its tables further down and all else as it was: %s", (_, request, groups) => {
    const many = { metadataEnd: 700, endNumber: 1000 };
    const roomy = planGeometry(many, request);
    expect(roomy.groupCount).toBe(groups);
    expect(roomy.inodeTableStart).toBe(768);
    expect(withMetadataEnd(roomy, 700)).toEqual(roomy);
    const less = withMetadataEnd(roomy, 300);
    const { inodeTableStart, contentEnd, blockBitmapStart, inodeBitmapStart, ...same } = less;
    expect(roomy).toMatchObject(same);
    expect([inodeTableStart, contentEnd]).toEqual([384, roomy.contentEnd - 384]);
    const moved = groups === 1 ? 0 : 384;
    expect([blockBitmapStart, inodeBitmapStart]).toEqual([
      roomy.blockBitmapStart - moved,
      roomy.inodeBitmapStart - moved,
    ]);
    expectSane(less, { metadataEnd: 300, endNumber: many.endNumber });
  });

  test("is refused where the content does not fit, with the size that does", () => {
    const refused = (): unknown => planGeometry({ metadataEnd: 40_000, endNumber: 20 }, total(GROUP_BYTES));
    expect(codeOf(refused)).toBe("DISK_TOO_SMALL");
    expect(refused).toThrow(/expected about 268435456 bytes \(256 MiB\) for this image, found 134217728/);
    expect(codeOf(() => planGeometry(content, total(0)))).toBe("DISK_TOO_SMALL");
  });

  test("is refused above the largest disk, however it is asked for", () => {
    expect(codeOf(() => planGeometry(content, total(DISK_BYTES_MAX)))).toBe("none");
    expect(codeOf(() => planGeometry(content, total(DISK_BYTES_MAX + 1)))).toBe("DISK_TOO_LARGE");
    expect(codeOf(() => planGeometry(content, free(DISK_BYTES_MAX)))).toBe("DISK_TOO_LARGE");
    const huge = { metadataEnd: DISK_BYTES_MAX / 4096 - 10, endNumber: 40 };
    expect(codeOf(() => planGeometry(huge, { kind: "auto" }))).toBe("DISK_TOO_LARGE");
  });
});
