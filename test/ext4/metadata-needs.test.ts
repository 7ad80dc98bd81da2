import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { DISK_BYTES_MAX } from "../../src/base/limit.ts";
import { GIB, KIB, MIB } from "../../src/base/units.ts";
import { MetadataNeeds, sortedNames, valueKey } from "../../src/ext4/metadata-needs.ts";
import { numberInodes } from "../../src/ext4/numbering.ts";
import { planDisk, type DiskPlan, type PlanInput } from "../../src/ext4/plan.ts";
import type { Inode } from "../../src/tree/tree.ts";
import { codeOf } from "../support/judge-disk.ts";
import { makeInode } from "./_make-inode.ts";
import { makeTree, placesOf, rangesOf, type Item, type Layer } from "./_metadata-tree.ts";
import { naiveDisk, type NaiveInput } from "./_naive-disk.ts";

/** Nothing has a block that another thing has, and all lie on the disk. */
function expectApart(plan: DiskPlan, input: PlanInput): void {
  const ranges = rangesOf(plan, input).filter(([, count]) => count > 0);
  ranges.sort(([a], [b]) => a - b);
  const overlaps = ranges.filter(([start], i) => {
    const [before = 0, count = 0] = ranges[i - 1] ?? [];
    return start < before + count;
  });
  expect(overlaps).toEqual([]);
  const [last = 0, count = 0] = ranges.at(-1) ?? [];
  expect(last + count).toBeLessThanOrEqual(plan.geometry.blockCount);
}

const item: fc.Arbitrary<Item> = fc
  .record({
    kind: fc.constantFrom("dir", "dir", "symlink", "file"),
    directory: fc.constantFrom(1, 1, 1, 3, 10),
    extents: fc.constantFrom(0, 4, 5, 341, 1361),
    link: fc.constantFrom(0, 1, 1),
    attributes: fc.constantFrom("none", "none", "inInode", "a", "b", "value", "largeValue"),
  } as const)
  .map(({ kind, directory, extents, link, attributes }) => ({
    ...{ kind, attributes },
    count: kind === "dir" ? directory : kind === "file" ? extents : link,
  }));

const layer: fc.Arbitrary<Layer> = fc.record({
  items: fc.oneof(fc.array(item, { maxLength: 8 }), fc.array(item, { maxLength: 60, size: "max" })),
  emptySlots: fc.constantFrom(0, 0, 1, 7, 8, 60, 120, 140),
  segmentChunks: fc.constantFrom(0, 1, 3, 17, 100),
});

const SIZES: readonly NaiveInput["size"][] = [
  { kind: "auto", bytes: 0 },
  { kind: "free", bytes: 0 },
  { kind: "free", bytes: 5 * GIB },
  { kind: "total", bytes: 4 * MIB },
  { kind: "total", bytes: 63 * 128 * MIB },
  { kind: "total", bytes: 64 * 128 * MIB },
  { kind: "total", bytes: 1024 * GIB },
  { kind: "total", bytes: DISK_BYTES_MAX },
];

/** How much of the metadata lies in chunk 0. */
type Part = "all" | "part" | "none";

describe("the places of metadata on any disk", () => {
  test("agree with a naive model, and no block is given twice", () => {
    const seen = new Set<Part | "refused">();
    const root = fc.record({
      count: fc.constantFrom(1, 3, 10),
      attributes: fc.constantFrom("none", "a", "value"),
    } as const);
    const layers = fc.array(layer, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(layers, root, fc.constantFrom(...SIZES), (made, rootItem, size) => {
        const tree = makeTree(made, rootItem, size);
        const expected = naiveDisk(tree.naive);
        if (expected === undefined) {
          seen.add("refused");
          expect(codeOf(() => planDisk(tree.input))).toBe("DISK_TOO_SMALL");
          return;
        }
        const plan = planDisk(tree.input);
        expect(placesOf(tree, plan)).toEqual(expected);
        expectApart(plan, tree.input);
        const blocks = expected.places.flatMap(({ data, extent, attributes }) =>
          [data, extent, attributes].filter((block) => block !== undefined),
        );
        const isInFirst = blocks.map((block) => block < 128);
        seen.add(isInFirst.every(Boolean) ? "all" : isInFirst.some(Boolean) ? "part" : "none");
      }),
      { numRuns: 250 },
    );
    expect(seen).toEqual(new Set(["all", "part", "none", "refused"]));
  });

  test("agree with a naive model on the smallest disk that has room, and there is none a chunk smaller", () => {
    const layers = fc.array(layer, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(layers, (made) => {
        for (let chunks = 1; ; chunks++) {
          const tree = makeTree(
            made,
            { count: 3, attributes: "a" },
            { kind: "total", bytes: chunks * 512 * KIB },
          );
          const expected = naiveDisk(tree.naive);
          if (expected === undefined) continue;
          const plan = planDisk(tree.input);
          expect(placesOf(tree, plan)).toEqual(expected);
          expectApart(plan, tree.input);
          const sizeRequest = { kind: "total", sizeBytes: (chunks - 1) * 512 * KIB } as const;
          expect(codeOf(() => planDisk({ ...tree.input, sizeRequest }))).toBe("DISK_TOO_SMALL");
          return;
        }
      }),
      { numRuns: 30 },
    );
  });
});

const ROOT = { count: 1, attributes: "none" } as const;
const directory = (count: number): Item => ({ kind: "dir", count, attributes: "none" });
const LINK: Item = { kind: "symlink", count: 1, attributes: "none" };
const file = (extents: number, attributes: Item["attributes"] = "none"): Item => ({
  ...{ kind: "file", count: extents, attributes },
});

interface Places {
  readonly root: number | undefined;
  /** Of each layer's inodes, in their order, the blocks that they have. */
  readonly layers: readonly number[][];
  readonly end: number;
}

/** The places of metadata where blocks from `start` to before 128 and from 1280 on are free; those of many directories are at 640. */
function place(start: number, layers: readonly (readonly Item[])[], emptySlots = 0): Places {
  const made = makeTree(
    layers.map((items) => ({ items, emptySlots })),
    ROOT,
    { kind: "auto", bytes: 0 },
  );
  const { tree } = made.input;
  const numbering = numberInodes(tree);
  const { places, metadataEnd } = new MetadataNeeds(tree, numbering).place({
    directories: tree.slots.map(({ directories }) => (directories < 128 ? undefined : 640)),
    beside: { start, end: 128 },
    behind: 1280,
  });
  const blocksOf = (inode: Inode): number[] => {
    const found = places.get(numbering.numberOf(inode));
    if (found === undefined) return [];
    return [
      ...(found.dataBlockCount > 0 ? [found.dataBlock] : []),
      ...(found.extentBlockCount > 0 ? [found.extentBlock] : []),
      ...(found.xattrBlock > 0 ? [found.xattrBlock] : []),
    ];
  };
  const inodes = made.inodes.slice(0, -1);
  return {
    root: blocksOf(tree.rootDirectory)[0],
    layers: layers.map((_, index) =>
      inodes.filter(({ layerIndex }) => layerIndex === index).flatMap(blocksOf),
    ),
    end: metadataEnd,
  };
}

// The base has a directory by itself: 8 blocks of its layer's slots. The root directory has one block, and takes 8, too.
describe("the places of metadata", () => {
  test("of one layer are its directories' slots, then what its inodes need, by number: files are first", () => {
    const items = [directory(1), directory(3), LINK, file(5, "a"), directory(1), file(0, "b")];
    // 3 slots take 8 blocks; a link, extents, two of attributes and a directory 7 more: 15 take 16.
    expect(place(8, [[], items])).toEqual({
      root: 128 - 16 - 8 - 8,
      layers: [[128 - 16 - 8], [112, 124, 120, 121, 122, 114, 123]],
      end: 1280,
    });
  });

  test("are rounded for each layer, and a layer that needs none takes none", () => {
    const seventeen = Array.from({ length: 17 }, () => LINK);
    const found = place(8, [[], seventeen, [], [LINK]]);
    expect(found.layers.map(([first]) => first)).toEqual([88, 96, undefined, 120]);
  });

  test("of many links take a multiple of an eighth of what they need", () => {
    // 65 take 72.
    expect(place(8, [[], Array.from({ length: 65 }, () => LINK)]).layers[1]?.[0]).toBe(128 - 72);
  });

  test("are beside the superblock down to its last block", () => {
    expect(place(112, [[]])).toEqual({ root: 112, layers: [[120]], end: 1280 });
  });

  test("of the first layer that does not fit begin at the first free block, and break at an item", () => {
    // 3 slots, and blocks of 3, 10 and 3: the ten would go on to 133, the last three would not.
    expect(place(112, [[], [directory(3), directory(10), directory(3)]])).toEqual({
      root: 1280,
      layers: [[1281], [120, 1289, 1299]],
      end: 1302,
    });
  });

  test("are one item for all directories of one block: their slots lie together", () => {
    const nine = Array.from({ length: 9 }, () => directory(1));
    // 9 slots take 16 blocks, where 8 are free.
    expect(place(120, [[], nine])).toEqual({
      root: 1280,
      layers: [[1281], nine.map((_, i) => 1289 + i)],
      end: 1280 + 1 + 8 + 16,
    });
  });

  test("fill what is free to its last block", () => {
    const links = Array.from({ length: 9 }, () => LINK);
    expect(place(120, [[], links])).toEqual({
      root: 1280,
      layers: [[1281], [120, 121, 122, 123, 124, 125, 126, 127, 1289]],
      end: 1290,
    });
  });

  test("of all below a layer that does not fit lie behind the segments, though they would fit", () => {
    const large = Array.from({ length: 14 }, () => directory(10));
    const found = place(8, [[], [LINK], large, [LINK]]);
    // The top's 8 blocks are left alone; 16 of slots and eight times ten fit below them.
    expect(found.layers[3]).toEqual([120]);
    expect(found.layers[2]?.filter((block) => block < 128)).toEqual([24, 34, 44, 54, 64, 74, 84, 94, 104]);
    expect([found.root, found.layers[0], found.layers[1]]).toEqual([1280, [1281], [1289]]);
    expect(found.layers[2]?.slice(9)).toEqual([1290, 1300, 1310, 1320, 1330]);
  });

  test("are all behind the segments where nothing is free", () => {
    expect(place(128, [[], [LINK, directory(1)]])).toEqual({
      root: 1280,
      layers: [[1281], [1289 + 8, 1289]],
      end: 1280 + 1 + 8 + 9,
    });
  });

  test.each([
    [127, 1281 + 126],
    [128, 640 + 127],
  ])("with %i slots of directories in a layer", (slots, block) => {
    // Where there are fewer than 128, their blocks are one item of the layer's metadata.
    expect(place(8, [[]], slots - 1).layers[0]).toEqual([block]);
  });

  test("of larger directories are metadata also where the layer has many", () => {
    const found = place(8, [[directory(3), LINK]], 200);
    // The first directory is the one of slot 200; the link's number is lower than those of directories.
    expect(found.layers[0]).toEqual([640 + 200, 121, 120]);
  });

  test("that are shared lie with the first inode that has them, by number", () => {
    const found = place(8, [[file(0, "a")], [file(0, "b"), file(0, "a")], [file(0, "b")]]);
    // The base's directory is in its slot, and its block of attributes behind the eight.
    expect(found.layers).toEqual([[104, 112], [120, 112], [120]]);
  });
});

describe("the metadata in chunk 0", () => {
  const LAYERS: readonly Layer[] = [[LINK], [directory(3), LINK], [file(5, "value")]].map((items) => ({
    items,
  }));
  const planFor = (sizeBytes: number): ReturnType<typeof placesOf> => {
    const made = makeTree(LAYERS, { count: 3, attributes: "a" }, { kind: "total", bytes: sizeBytes });
    const plan = planDisk(made.input);
    expectApart(plan, made.input);
    return placesOf(made, plan);
  };

  test("lies where it does however many groups there are, as long as it fits", () => {
    const { places } = planFor(128 * MIB);
    expect(places.every(({ data = 0 }) => data < 128)).toBe(true);
    for (const groups of [2, 16, 35, 64, 128, 200])
      expect(planFor(groups * 128 * MIB).places).toEqual(places);
  });

  test("gives way to bitmaps, base first", () => {
    const { places } = planFor(128 * MIB);
    const root = places.length - 1;
    const movedAt = (groups: number): number[] =>
      planFor(groups * 128 * MIB).places.flatMap(({ data }, i) => (data === places[i]?.data ? [] : [i]));
    // The root directory's lies from block 80 on, that of the layers from 88, 104 and 120 on.
    expect(places.map(({ data }) => data)).toEqual([88, 96, 113, 112, undefined, 80]);
    expect(movedAt(39)).toEqual([]);
    expect(movedAt(40)).toEqual([root]);
    expect(movedAt(44)).toEqual([0, 1, root]);
  });

  test("is none beside descriptors that fill it", () => {
    const { places } = planFor(DISK_BYTES_MAX);
    for (const { data = 128, attributes = 128 } of places)
      expect(Math.min(data, attributes)).toBeGreaterThan(127);
  });

  test("never has values, which lie on a chunk's edge behind what is not in it", () => {
    // Before it are 17 to 48, to 80 and to 96: room for 16 files in each layer, and for the directories of two.
    expect(planFor(128 * MIB).values).toEqual([[97, 128]]);
    expect(planFor(DISK_BYTES_MAX).values).toEqual([[97, 256]]);
  });
});

test("names come in byte order, not in that of UTF-16 or of numbers", () => {
  const names = ["b", "\xff", "10", "2", "a", "B", "\xc3\xa9", "__proto__"];
  const children = new Map(names.map((name) => [asByteString(name), makeInode({})] as const));
  const sorted = ["10", "2", "B", "__proto__", "a", "b", "\xc3\xa9", "\xff"];
  expect(sortedNames(makeInode({ type: "dir", children }))).toEqual(sorted);
});

test("values have equal keys where they are equal", () => {
  expect(valueKey(Uint8Array.of(1, 2))).toBe(valueKey(Uint8Array.of(1, 2)));
  expect(valueKey(Uint8Array.of(1, 2))).not.toBe(valueKey(Uint8Array.of(1, 2, 0)));
});
