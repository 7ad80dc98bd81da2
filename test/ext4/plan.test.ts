import { describe, expect, test } from "vitest";

import { asByteString, type ByteString } from "../../src/base/bytes.ts";
import { MIB } from "../../src/base/units.ts";
import { consecutiveExtents, fileExtents, planDisk, type DiskPlan } from "../../src/ext4/plan.ts";
import type { Inode, Tree } from "../../src/tree/tree.ts";
import { codeOf } from "../support/judge-disk.ts";
import { longNames } from "../support/long-names.ts";
import { makeInode } from "./_make-inode.ts";

/** A tree of one layer: these files, then these directories, in the root directory. */
function treeOf(...fields: readonly Partial<Inode>[]): Tree {
  const children = new Map<ByteString, Inode>();
  const counts = { files: 0, directories: 0 };
  for (const [i, field] of fields.entries()) {
    const slot = field.type === "dir" ? counts.directories++ : counts.files++;
    children.set(asByteString(`n${i}`), makeInode({ slot, ...field }));
  }
  return { rootDirectory: makeInode({ type: "dir", slot: -1, children }), slots: [counts] };
}

const plan = (tree: Tree, segmentChunkCounts: readonly number[] = [0]): DiskPlan =>
  planDisk({ tree, segmentChunkCounts, sizeRequest: { kind: "auto" } });
const xattrs = (sizeBytes: number, fill = 1): Map<ByteString, Uint8Array> =>
  new Map([[asByteString("user.a"), new Uint8Array(sizeBytes).fill(fill)]]);
const body = (blockCount: number, segmentBlock = 0): Inode["body"] => ({
  sizeBytes: blockCount * 4096,
  runs: [{ fileBlock: 0, segmentBlock, blockCount }],
});

/** Every run of blocks that the plan gives out besides the segments. */
function runsOf({ places, xattrBlocks, valueInodes }: DiskPlan): [number, number][] {
  const runs = [...places.values()].flatMap((place): [number, number][] => [
    [place.dataBlock, place.dataBlockCount],
    [place.extentBlock, place.extentBlockCount],
  ]);
  for (const { blockNumber } of xattrBlocks) runs.push([blockNumber, 1]);
  for (const { dataBlock, value } of valueInodes.values())
    runs.push([dataBlock, Math.ceil(value.length / 4096)]);
  return runs.filter(([, count]) => count > 0).sort(([a], [b]) => a - b);
}

describe("the plan of a disk image", () => {
  test("gives every block once, beside the superblock or between the segments and the tables", () => {
    const holes = Array.from({ length: 6 }, (_, i) => ({ fileBlock: 2 * i, segmentBlock: i, blockCount: 1 }));
    const many = new Map(longNames(40).map((name, i) => [name, makeInode({ slot: 10 + i })] as const));
    const tree = treeOf(
      { body: { sizeBytes: 12 * 4096, runs: holes } },
      { xattrs: xattrs(1000) },
      { xattrs: xattrs(9000) },
      { type: "symlink", linkTarget: asByteString("t".repeat(60)) },
      ...Array.from({ length: 10 }, () => ({ type: "dir" as const })),
      { type: "dir", children: many },
    );
    const found = plan({ ...tree, slots: [{ files: 100, directories: 11 }] }, [1]);
    const runs = runsOf(found);
    // Root and ten directories, an indexed one, a symlink, an extent block, two blocks of attributes, a value.
    expect(runs).toHaveLength(11 + 1 + 1 + 1 + 2 + 1);
    runs.reduce((end, [start, count]) => {
      expect(start).toBeGreaterThanOrEqual(end);
      return start + count;
    }, found.geometry.firstFreeBlock);
    // Chunk 1 is the segment's.
    for (const [start, count] of runs) expect(start + count <= 128 || start >= 256).toBe(true);
    const [last = 0, count = 0] = runs.at(-1) ?? [];
    expect(found.geometry.inodeTableStart).toBeGreaterThanOrEqual(last + count);
  });

  test("puts segments on chunks, base first, apart from each other", () => {
    const tree: Tree = {
      rootDirectory: makeInode({ type: "dir", slot: -1 }),
      slots: [3, 0, 700].map((directories) => ({ files: 0, directories })),
    };
    const { segmentStarts } = plan(tree, [5, 0, 33]);
    expect(segmentStarts).toHaveLength(3);
    for (const start of segmentStarts) expect(start % 128).toBe(0);
    const [base = 0, middle = 0, top = 0] = segmentStarts;
    expect(base).toBeGreaterThanOrEqual(128);
    expect(middle).toBeGreaterThanOrEqual(base + 5 * 128);
    expect(top).toBeGreaterThanOrEqual(middle);
  });

  test("does not move a lower layer for an upper one", () => {
    const slots = [{ files: 10, directories: 300 }];
    const tree: Tree = { rootDirectory: makeInode({ type: "dir", slot: -1 }), slots };
    const upper = { ...tree, slots: [...slots, { files: 9000, directories: 9000 }] };
    expect(plan(upper, [40, 90]).segmentStarts[0]).toBe(plan(tree, [40]).segmentStarts[0]);
  });

  test("puts many directories behind their layer's segment, and few beside the superblock", () => {
    const slots = [127, 128, 129, 3].map((directories) => ({ files: 0, directories }));
    const inodes = slots.map((_, layerIndex) => makeInode({ type: "dir", layerIndex, slot: 2 }));
    const children = new Map(inodes.map((inode, i) => [asByteString(`${i}`), inode] as const));
    const found = plan(
      { rootDirectory: makeInode({ type: "dir", slot: -1, children }), slots },
      [0, 1, 9, 17],
    );
    // One chunk for 128 directories, two for 129; 17 chunks have room for 18.
    expect(found.segmentStarts).toEqual([1, 1, 3, 14].map((chunk) => chunk * 128));
    const blocks = inodes.map((inode) => found.places.get(found.numbering.numberOf(inode))?.dataBlock);
    // The base's 127 do not fit chunk 0: they come behind all segments, after the root directory.
    expect(blocks).toEqual([32 * 128 + 1 + 2, 2 * 128 + 2, 12 * 128 + 2, 120 + 2]);
    expect(found.places.get(2)?.dataBlock).toBe(32 * 128);
  });

  test("has as many groups as if nothing lay beside the superblock, and tables where the rest ends", () => {
    const tree = treeOf(...Array.from({ length: 5 }, () => ({ type: "dir" as const })));
    const total = (sizeBytes: number): DiskPlan =>
      planDisk({ tree, segmentChunkCounts: [2], sizeRequest: { kind: "total", sizeBytes } });
    // Chunk 0, two of files, one that metadata would need, and one of tables.
    const tight = total(5 * 512 * 1024).geometry;
    expect([tight.inodeTableStart, tight.contentEnd, tight.blockCount]).toEqual([384, 512, 640]);
    expect(codeOf(() => total(4 * 512 * 1024))).toBe("DISK_TOO_SMALL");
  });

  test("counts the times that it has to change", () => {
    const tree = treeOf(
      { mtime: { seconds: 2 ** 40, nanoseconds: 0 } },
      {},
      { mtime: { seconds: -(2 ** 40), nanoseconds: 0 } },
    );
    expect(plan(tree).clampedTimeCount).toBe(2);
  });

  test("shares blocks among inodes with equal attributes, 1024 to a block", () => {
    const tree = treeOf(...Array.from({ length: 1025 }, () => ({ xattrs: xattrs(500) })), {
      xattrs: xattrs(500, 2),
    });
    expect(plan(tree).xattrBlocks.map(({ referenceCount }) => referenceCount)).toEqual([1024, 1, 1]);
  });

  test("counts a large value's blocks to each inode that has it", () => {
    const found = plan(treeOf({ xattrs: xattrs(9000) }, { xattrs: xattrs(9000) }));
    expect(found.valueInodes.size).toBe(1);
    const counts = [...found.places.values()].map((place) => place.xattrValueBlockCount);
    expect(counts.filter((count) => count === 3)).toHaveLength(2);
  });
});

describe("the plan refuses", () => {
  test.each([
    [65_000, "none"],
    [65_001, "LINKS_TOO_MANY"],
  ])("%i links: %s", (nameCount, code) => {
    expect(codeOf(() => plan(treeOf({ nameCount })))).toBe(code);
  });

  test("attributes, naming the path", () => {
    const inner = makeInode({ xattrs: xattrs(65_537) });
    const tree = treeOf({ type: "dir", children: new Map([[asByteString("b\xff"), inner]]) });
    expect(() => plan({ ...tree, slots: [{ files: 1, directories: 1 }] })).toThrow(
      /^\/n0\/b\\xff: xattr user\.a: expected a value of at most 65536 bytes, found 65537$/,
    );
  });

  test("a disk that is too small or too large", () => {
    const ask = (sizeBytes: number) => (): unknown =>
      planDisk({ tree: treeOf({}), segmentChunkCounts: [0], sizeRequest: { kind: "total", sizeBytes } });
    expect(codeOf(ask(4 * MIB))).toBe("none");
    expect(codeOf(ask(MIB))).toBe("DISK_TOO_SMALL");
    expect(codeOf(ask(2 ** 50))).toBe("DISK_TOO_LARGE");
    expect(codeOf(() => plan(treeOf({}), [2 ** 32]))).toBe("DISK_TOO_LARGE");
  });
});

describe("the extents of", () => {
  test("a file begin where its segment does", () => {
    expect(fileExtents(makeInode({ layerIndex: 1, body: body(3, 7) }), [128, 640])).toEqual([
      { fileBlock: 0, diskBlock: 647, blockCount: 3 },
    ]);
    expect(fileExtents(makeInode({}), [128])).toEqual([]);
  });

  test("metadata are as few as can be", () => {
    expect(consecutiveExtents(9, 0)).toEqual([]);
    expect(consecutiveExtents(9, 32_769)).toHaveLength(2);
  });
});
