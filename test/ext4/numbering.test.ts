import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { numberInodes } from "../../src/ext4/numbering.ts";
import type { Inode, Tree } from "../../src/tree/tree.ts";
import { makeInode } from "./_make-inode.ts";

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
    // Places in the table, 2048 a chunk; the first run begins at place 16.
    ["a run that fits its chunk", 1000, 900, 1040],
    ["a run that ends where its chunk ends", 1900, 112, 1936],
    ["a small run that would cross into the next chunk", 1900, 300, 2048],
    ["a run of one chunk and more that crosses once either way", 1000, 2500, 1040],
    ["a run that would lie in one chunk more", 1900, 4000, 2048],
  ])("begin a chunk of table only where that saves one: %s", (_, files, directories, place) => {
    const { tree, inodes } = treeOf({ files, directories });
    expect(numberInodes(tree).numberOf(inodes[files]!)).toBe(place + 1);
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
