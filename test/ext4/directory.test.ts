import { describe, expect, test } from "vitest";

import { asByteString, viewOf, type ByteString } from "../../src/base/bytes.ts";
import { directoryBlockCount, encodeDirectory, layNames } from "../../src/ext4/directory.ts";

const path = (): string => "/d";
const names = (...all: readonly string[]): ByteString[] => all.map(asByteString);
/** With the 24 bytes of the dots 3984 of 4084. */
const NEARLY_FULL = Array.from({ length: 15 }, (_, i) => String(i).padStart(255, "-"));

function blocksOf(all: readonly ByteString[]): Uint8Array[] {
  const entries = all.map((name, i) => ({ name, inodeNumber: 20 + i, fileType: 1 }));
  return encodeDirectory({ inodeNumber: 12, parentInodeNumber: 2, entries }, layNames(all, path));
}

const countOf = (all: readonly ByteString[]): number => directoryBlockCount(layNames(all, path));

describe("a directory", () => {
  test.each([
    ["nothing", names()],
    ["a name", names("a")],
    ["a block's fill", names(...NEARLY_FULL, "x".repeat(92))],
  ])("of %s is one block without an index", (_, all) => {
    expect(countOf(all)).toBe(1);
    const [block, ...others] = blocksOf(all);
    expect(others).toEqual([]);
    const view = viewOf(block!);
    expect([view.getUint32(0, true), view.getUint16(4, true)]).toEqual([12, 12]);
    expect([...block!.subarray(6, 10)]).toEqual([1, 2, 0x2e, 0]);
    expect(view.getUint32(12, true)).toBe(2);
    expect([...block!.subarray(18, 24)]).toEqual([2, 2, 0x2e, 0x2e, 0, 0]);
    expect(view.getUint16(16, true)).toBe(all.length === 0 ? 4084 - 12 : 12);
  });

  test.each([
    ["a byte", names(...NEARLY_FULL, "x".repeat(93))],
    ["an entry", names(...NEARLY_FULL, "x".repeat(92), "y")],
  ])("of %s more is indexed, and has as many blocks as were planned", (_, all) => {
    expect(blocksOf(all)).toHaveLength(countOf(all));
    expect(countOf(all)).toBeGreaterThan(1);
  });
});
