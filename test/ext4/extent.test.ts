import { describe, expect, test } from "vitest";

import { viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import { addExtents, buildExtentTree, extentBlockCount, type Extent } from "../../src/ext4/extent.ts";
import { inodeSeed } from "../../src/ext4/inode.ts";

describe("runs", () => {
  test.each([
    [0, []],
    [1, [[0, 100, 1]]],
    [32768, [[0, 100, 32768]]],
    [
      32769,
      [
        [0, 100, 32768],
        [32768, 32868, 1],
      ],
    ],
    [
      65536,
      [
        [0, 100, 32768],
        [32768, 32868, 32768],
      ],
    ],
  ])("of %i blocks become extents of at most 32,768", (blockCount, expected) => {
    const extents: Extent[] = [];
    addExtents(extents, { fileBlock: 0, diskBlock: 100, blockCount });
    expect(extents.map((extent) => [extent.fileBlock, extent.diskBlock, extent.blockCount])).toEqual(
      expected,
    );
  });

  test("keep their places", () => {
    const runs = [
      { fileBlock: 3, diskBlock: 50, blockCount: 2 },
      { fileBlock: 9, diskBlock: 52, blockCount: 1 },
    ];
    const extents: Extent[] = [];
    for (const run of runs) addExtents(extents, run);
    expect(extents).toEqual(runs);
  });
});

describe("an extent tree", () => {
  // 4 entries in the inode, 340 in a block.
  test.each([
    [0, 0],
    [4, 0],
    [5, 1],
    [340, 1],
    [341, 2],
    [1360, 4],
    [1361, 5 + 1],
    [340 * 340 * 4, 340 * 4 + 4],
    [340 * 340 * 4 + 1, 340 * 4 + 1 + 5 + 1],
  ])("of %i extents takes %i blocks", (extents, blocks) => {
    expect(extentBlockCount(extents)).toBe(blocks);
  });

  test.each([0, 1, 4, 5, 340, 341, 1360, 1361, 3000])("of %i extents leads to each of them", (count) => {
    const extents = Array.from({ length: count }, (_, i) => ({
      fileBlock: 3 * i,
      diskBlock: 1000 + 2 * i,
      blockCount: 1 + (i % 2),
    }));
    const tree = buildExtentTree(extents, { inodeNumber: 77, firstBlock: 500 });
    expect(tree.blocks).toHaveLength(extentBlockCount(count));
    expect(read(tree.iBlock, { blocks: tree.blocks, firstBlock: 500 })).toEqual(extents);
  });

  test("has checksums that only its inode has", () => {
    const extents = Array.from({ length: 5 }, (_, i) => ({ fileBlock: 2 * i, diskBlock: i, blockCount: 1 }));
    const [block] = buildExtentTree(extents, { inodeNumber: 77, firstBlock: 1 }).blocks;
    const [other] = buildExtentTree(extents, { inodeNumber: 78, firstBlock: 1 }).blocks;
    expect(viewOf(block!).getUint32(4092, true)).toBe(crc32c(inodeSeed(77), block!.subarray(0, 4092)));
    expect(block!.subarray(0, 4092)).toEqual(other!.subarray(0, 4092));
    expect(block).not.toEqual(other);
  });

  test("takes the whole of the inode's room, and no more", () => {
    expect(buildExtentTree([], { inodeNumber: 12, firstBlock: 0 }).iBlock).toHaveLength(60);
  });
});

/** Reads a node as the kernel does, depth first. */
function read(
  node: Uint8Array,
  place: { readonly blocks: readonly Uint8Array[]; readonly firstBlock: number },
): Extent[] {
  const view = viewOf(node);
  expect(view.getUint16(0, true)).toBe(0xf30a);
  const count = view.getUint16(2, true);
  const isRoot = node.length === 60;
  expect(view.getUint16(4, true)).toBe(isRoot ? 4 : 340);
  expect(count).toBeLessThanOrEqual(isRoot ? 4 : 340);
  const depth = view.getUint16(6, true);
  const entries = Array.from({ length: count }, (_, i) => 12 + 12 * i);
  if (depth > 0) {
    return entries.flatMap((at) => {
      const child = place.blocks[view.getUint32(at + 4, true) - place.firstBlock];
      const below = read(child!, place);
      expect(viewOf(child!).getUint16(6, true)).toBe(depth - 1);
      expect(view.getUint32(at, true)).toBe(below[0]?.fileBlock);
      return below;
    });
  }
  return entries.map((at) => ({
    fileBlock: view.getUint32(at, true),
    diskBlock: view.getUint32(at + 8, true),
    blockCount: view.getUint16(at + 4, true),
  }));
}
