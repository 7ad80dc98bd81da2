import { describe, expect, test } from "vitest";

import { Bitmap } from "../../src/ext4/bitmap.ts";

/** The bits that are set, one by one: what the bytes say. */
function bitsOf(bitmap: Bitmap): number[] {
  return [...bitmap.bytes].flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte & (1 << bit)) !== 0).map((bit) => i * 8 + bit),
  );
}

describe("a bitmap", () => {
  test("has bit n in byte n / 8, the lowest bit first", () => {
    const bitmap = new Bitmap(16);
    bitmap.setRange(0, 1);
    bitmap.setRange(15, 1);
    expect([...bitmap.bytes]).toEqual([1, 0x80]);
  });

  test("has whole bytes", () => {
    expect(new Bitmap(1).bytes).toHaveLength(1);
    expect(new Bitmap(9).bytes).toHaveLength(2);
    expect(new Bitmap(0).bytes).toHaveLength(0);
  });

  test("sets exactly the range, wherever it begins and ends", () => {
    for (let start = 0; start < 26; start++) {
      for (let count = 0; start + count <= 40; count++) {
        const bitmap = new Bitmap(40);
        bitmap.setRange(start, count);
        expect(bitsOf(bitmap), `${start}+${count}`).toEqual(
          Array.from({ length: count }, (_, i) => start + i),
        );
      }
    }
  });

  test("keeps what was set before", () => {
    const bitmap = new Bitmap(24);
    bitmap.setRange(3, 4);
    bitmap.setRange(5, 10);
    expect(bitsOf(bitmap)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  });

  test.each([
    [0, 32, 5],
    [0, 8, 2],
    [8, 16, 3],
    [16, 32, 0],
    [8, 8, 0],
  ])("counts the bits from %i to %i", (start, end, count) => {
    const bitmap = new Bitmap(32);
    bitmap.setRange(6, 5);
    expect(bitmap.countRange(start, end)).toBe(count);
  });

  test.each([
    [0, 32, 11],
    [0, 8, 8],
    [8, 32, 3],
    [16, 32, 0],
    [8, 8, 0],
  ])("knows how far the set bits reach from %i to %i", (start, end, reach) => {
    const bitmap = new Bitmap(32);
    bitmap.setRange(6, 5);
    expect(bitmap.lastSetAfter(start, end)).toBe(reach);
  });

  test("knows for each bit how far it reaches", () => {
    for (let bit = 0; bit < 24; bit++) {
      const bitmap = new Bitmap(24);
      bitmap.setRange(bit, 1);
      expect(bitmap.lastSetAfter(0, 24)).toBe(bit + 1);
    }
  });
});
