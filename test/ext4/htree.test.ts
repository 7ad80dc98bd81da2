import { describe, expect, test } from "vitest";

import { asByteString, toByteString, viewOf, type ByteString } from "../../src/base/bytes.ts";
import { hashName } from "../../src/ext4/dir-hash.ts";
import { encodeIndexedDirectory, indexedBlockCount, indexNames } from "../../src/ext4/htree.ts";
import { HASH_SEED } from "../../src/ext4/profile.ts";
import { COLLIDING_NAMES } from "../support/colliding-names.ts";
import { longNames, longNamesWithin } from "../support/long-names.ts";

const path = (): string => "/d";

function encode(names: readonly ByteString[]): Uint8Array[] {
  const entries = names.map((name, i) => ({ name, inodeNumber: 20 + i, fileType: 1 }));
  const content = { inodeNumber: 12, parentInodeNumber: 2, entries };
  return encodeIndexedDirectory(content, indexNames(names, path));
}

interface Pointer {
  readonly hash: number;
  readonly block: number;
}

function pointersOf(block: Uint8Array, offset: number, most: number): Pointer[] {
  const view = viewOf(block);
  expect(view.getUint16(offset, true)).toBe(most);
  const count = view.getUint16(offset + 2, true);
  expect(count).toBeGreaterThan(0);
  expect(count).toBeLessThanOrEqual(most);
  return Array.from({ length: count }, (_, i) => ({
    hash: i === 0 ? 0 : view.getUint32(offset + 8 * i, true),
    block: view.getUint32(offset + 8 * i + 4, true),
  }));
}

function namesIn(block: Uint8Array): ByteString[] {
  const names: ByteString[] = [];
  const view = viewOf(block);
  for (let at = 0; at < 4084; at += view.getUint16(at + 4, true))
    names.push(toByteString(block.subarray(at + 8, at + 8 + (block[at + 6] ?? 0))));
  return names;
}

/** The leaves in their order, each with the hash that the index gives it. */
function leavesOf(blocks: readonly Uint8Array[]): { hash: number; names: ByteString[] }[] {
  const [root] = blocks;
  const levels = root![0x1e];
  const top = pointersOf(root!, 32, 507);
  const bottom =
    levels === 0
      ? top
      : top.flatMap(({ hash, block }) => {
          const [first, ...rest] = pointersOf(blocks[block]!, 8, 510);
          return [{ hash, block: first!.block }, ...rest];
        });
  expect(bottom).toHaveLength(blocks.length - 1 - (levels === 0 ? 0 : top.length));
  return bottom.map(({ hash, block }) => ({ hash, names: namesIn(blocks[block]!) }));
}

/** Every name lies in the leaf that the kernel looks in, and none is lost. */
function expectFound(names: readonly ByteString[], blocks: readonly Uint8Array[]): void {
  const leaves = leavesOf(blocks);
  const found: string[] = [];
  leaves.forEach((leaf, i) => {
    const next = leaves[i + 1]?.hash ?? 2 ** 32;
    expect(next).toBeGreaterThanOrEqual(leaf.hash);
    for (const name of leaf.names) {
      const { hash } = hashName(name, HASH_SEED);
      expect(hash).toBeGreaterThanOrEqual(leaf.hash - (leaf.hash % 2));
      // The low bit of the next leaf's hash says that it goes on with the names of this one's last hash.
      expect(hash).toBeLessThan(next);
      found.push(name);
    }
  });
  expect(found.sort((a, b) => (a < b ? -1 : 1))).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
}

describe("an indexed directory", () => {
  test("begins with a root that names its hash and its levels", () => {
    const [root] = encode(longNames(16));
    const view = viewOf(root!);
    expect([view.getUint32(0, true), view.getUint16(4, true)]).toEqual([12, 12]);
    expect([view.getUint32(12, true), view.getUint16(16, true)]).toEqual([2, 4084]);
    // reserved_zero, hash_version half MD4, info_length, indirect_levels, unused_flags.
    expect([...root!.subarray(24, 32)]).toEqual([0, 0, 0, 0, 1, 8, 0, 0]);
  });

  test.each([16, 17, 100, 1000])("leads to each of %i names", (count) => {
    const blocks = encode(longNames(count));
    expect(blocks).toHaveLength(indexedBlockCount(indexNames(longNames(count), path)));
    expect(blocks[0]![0x1e]).toBe(0);
    expectFound(longNames(count), blocks);
  });

  test("has a second level where the root is full, and not before", () => {
    const count = longNamesWithin(508);
    expect(encode(longNames(count))[0]![0x1e]).toBe(0);
    const more = encode(longNames(count + 1));
    expect(more[0]![0x1e]).toBe(1);
    expect(more).toHaveLength(indexedBlockCount(indexNames(longNames(count + 1), path)));
    expectFound(longNames(count + 1), more);
  });

  test("gives a new name to one leaf only", () => {
    const before = leavesOf(encode(longNames(300)));
    const after = leavesOf(encode([...longNames(300), asByteString("new")]));
    const known = new Set(before.map(({ names }) => names.join()));
    expect(after.filter(({ names }) => !known.has(names.join())).length).toBeLessThanOrEqual(2);
  });

  test("does not depend on the order in which names come", () => {
    const names = [...longNames(200), ...COLLIDING_NAMES.map(asByteString)];
    const namesOf = (list: readonly ByteString[]): unknown => leavesOf(encode(list));
    expect(namesOf([...names].reverse())).toEqual(namesOf(names));
  });

  test.each([15, 16, 30, 31, 33])("marks the leaf that goes on with one hash: %i names", (count) => {
    const names = [...COLLIDING_NAMES.slice(0, count).map(asByteString), ...longNames(40)];
    const leaves = leavesOf(encode(names));
    expectFound(names, encode(names));
    expect(leaves.filter(({ hash }) => hash % 2 === 1)).toHaveLength(Math.ceil(count / 15) - 1);
  });
});
