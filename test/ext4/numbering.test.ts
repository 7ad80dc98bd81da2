import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { numberInodes } from "../../src/ext4/numbering.ts";
import type { Inode, Tree } from "../../src/tree/tree.ts";
import { makeInode } from "./_make-inode.ts";
import { naiveNumbers } from "./_naive-disk.ts";

interface LayerCounts {
  readonly files: number;
  readonly directories: number;
}

/** A tree whose layers made so many files and directories, all of them in the root directory. */
function treeOf(...layers: readonly LayerCounts[]): { tree: Tree; inodes: Inode[] } {
  const rootDirectory = makeInode({ type: "dir", slot: -1 });
  const inodes: Inode[] = [];
  for (const [layerIndex, { files, directories }] of layers.entries()) {
    for (let slot = 0; slot < files; slot++) inodes.push(makeInode({ layerIndex, slot }));
    for (let slot = 0; slot < directories; slot++) inodes.push(makeInode({ type: "dir", layerIndex, slot }));
  }
  inodes.forEach((inode, i) => rootDirectory.children?.set(asByteString(`${i}`), inode));
  return { tree: { rootDirectory, slots: layers }, inodes };
}

describe("inode numbers", () => {
  test.each([
    ["an empty tree", []],
    ["a file", [{ files: 1, directories: 0 }]],
    ["a layer of nothing", [{ files: 0, directories: 0 }]],
    [
      "two layers",
      [
        { files: 17, directories: 3 },
        { files: 5, directories: 40 },
      ],
    ],
    [
      "large layers",
      [
        { files: 5000, directories: 2100 },
        { files: 2048, directories: 2047 },
      ],
    ],
  ])("are each given once, above the reserved ones: %s", (_, layers) => {
    const { tree, inodes } = treeOf(...layers);
    const numbering = numberInodes(tree);
    const numbers = inodes.map((inode) => numbering.numberOf(inode));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(Math.min(11, ...numbers)).toBeGreaterThanOrEqual(11);
    expect(Math.max(0, ...numbers)).toBeLessThan(numbering.endNumber);
    for (const inode of inodes) expect(numbering.inodes[numbering.numberOf(inode)]).toBe(inode);
    expect(numbering.numberOf(tree.rootDirectory)).toBe(2);
    expect(numbering.inodes[2]).toBe(tree.rootDirectory);
  });

  test("of a lower layer do not change with an upper one", () => {
    const base = { files: 300, directories: 100 };
    const alone = treeOf(base);
    const below = treeOf(base, { files: 1000, directories: 1000 });
    const [one, other] = [numberInodes(alone.tree), numberInodes(below.tree)];
    for (const [i, inode] of alone.inodes.entries())
      expect(other.numberOf(below.inodes[i]!)).toBe(one.numberOf(inode));
  });

  test("of an upper layer mostly stay where a lower one gains a file", () => {
    const numbersFor = (files: number): number[] => {
      const { tree, inodes } = treeOf({ files, directories: 100 }, { files: 10, directories: 10 });
      const numbering = numberInodes(tree);
      return inodes.slice(-20).map((inode) => numbering.numberOf(inode));
    };
    expect(numbersFor(1000)).toEqual(numbersFor(1001));
  });

  test.each([
    // Places in the table, 2048 a chunk; the lower layer takes those from 16 to before 1680, the upper one begins at `place`.
    ["a run that fits its chunk", { files: 200, directories: 100 }, 1680],
    ["a run that ends where its chunk ends", { files: 200, directories: 160 }, 1680],
    ["a small run that would cross into the next chunk", { files: 200, directories: 161 }, 2048],
    ["a run of one chunk and more that crosses once either way", { files: 100, directories: 2200 }, 1680],
    ["a run that ends where its second chunk does", { files: 16, directories: 2400 }, 1680],
    ["a run that would lie in one chunk more", { files: 16, directories: 2401 }, 2048],
  ])("begin a chunk of table only where that saves one: %s", (_, upper, place) => {
    const { tree, inodes } = treeOf({ files: 1664, directories: 0 }, upper);
    const numbering = numberInodes(tree);
    expect(numbering.numberOf(inodes[1664]!)).toBe(place + 1);
    // Files have room behind them, and directories come next.
    expect(numbering.numberOf(inodes.at(-1)!)).toBe(
      place + { 200: 208, 100: 112, 16: 16 }[upper.files]! + upper.directories,
    );
  });

  test("are one run of a layer, its files and then its directories, with a sixteenth of room", () => {
    const { tree, inodes } = treeOf(
      { files: 17, directories: 3 },
      { files: 0, directories: 2 },
      { files: 1, directories: 0 },
    );
    const numbering = numberInodes(tree);
    const numbers = inodes.map((inode) => numbering.numberOf(inode));
    // 17 files have room for 32, 35 inodes have room for 48; 2 directories have 16.
    expect(numbers.slice(0, 17)).toEqual(Array.from({ length: 17 }, (_, i) => 17 + i));
    expect(numbers.slice(17)).toEqual([49, 50, 51, 65, 66, 81]);
    expect(numbering.endNumber).toBe(97);
  });

  test("are not taken by a layer without inodes, wherever it comes", () => {
    const { tree, inodes } = treeOf(
      { files: 0, directories: 0 },
      { files: 1, directories: 0 },
      { files: 0, directories: 0 },
    );
    const numbering = numberInodes(tree);
    expect(numbering.numberOf(inodes[0]!)).toBe(17);
    expect(numbering.endNumber).toBe(33);
  });

  test("agree with a naive model on any numbers of slots", () => {
    const count = fc.oneof(
      fc.nat(40),
      fc.nat(700),
      fc.nat(3000),
      fc.constantFrom(0, 1, 2032, 2048, 4096, 6000),
    );
    const layers = fc.array(fc.record({ files: count, directories: count }), { maxLength: 5, size: "max" });
    fc.assert(
      fc.property(layers, (slots) => {
        // The first and the last slots of each layer tell where the others are.
        const ends = slots.flatMap(({ files, directories }, layerIndex) => [
          ...(files > 0 ? [{ type: "file" as const, layerIndex, slot: files - 1 }] : []),
          ...(directories > 0 ? [{ type: "dir" as const, layerIndex, slot: directories - 1 }] : []),
        ]);
        const children = new Map(ends.map((fields, i) => [asByteString(`${i}`), makeInode(fields)] as const));
        const rootDirectory = makeInode({ type: "dir", slot: -1, children });
        const numbering = numberInodes({ rootDirectory, slots });
        const { firsts, end } = naiveNumbers(slots);
        expect(numbering.endNumber).toBe(end);
        for (const inode of children.values()) {
          const first = firsts[inode.layerIndex]!;
          const base = inode.type === "dir" ? first.directories : first.files;
          expect(numbering.numberOf(inode)).toBe(base + inode.slot);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("know the parent of every directory", () => {
    const child = makeInode({ type: "dir", slot: 1 });
    const parent = makeInode({ type: "dir", slot: 0, children: new Map([[asByteString("child"), child]]) });
    const rootDirectory = makeInode({
      type: "dir",
      slot: -1,
      children: new Map([[asByteString("parent"), parent]]),
    });
    const numbering = numberInodes({ rootDirectory, slots: [{ files: 0, directories: 2 }] });
    expect(numbering.parentOf(child)).toBe(parent);
    expect(numbering.parentOf(parent)).toBe(rootDirectory);
    expect(numbering.parentOf(rootDirectory)).toBe(rootDirectory);
  });
});
