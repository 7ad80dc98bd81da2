import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { BLOCKS_PER_CUT, isCutBefore } from "../../src/segment/cut.ts";

/** The rule again, in integers without bound. */
function isCut(path: string, blockCount: number): boolean {
  const drawn = createHash("sha256").update(path, "latin1").digest().readUInt32LE(0);
  return BigInt(drawn) * 1024n < BigInt(blockCount) << 32n;
}

describe("isCutBefore", () => {
  test("always cuts before a file of 4 MiB, never before one without blocks", () => {
    expect(BLOCKS_PER_CUT * 4096).toBe(4 * 1024 * 1024);
    for (let i = 0; i < 100; i++) {
      expect(isCutBefore(asByteString(`f${i}`), 1024)).toBe(true);
      expect(isCutBefore(asByteString(`f${i}`), 2 ** 32)).toBe(true);
      expect(isCutBefore(asByteString(`f${i}`), 0)).toBe(false);
    }
  });

  test("draws from the SHA-256 of the path as its bytes are", () => {
    for (let i = 0; i < 500; i++) {
      const path = `dir/\xff${i}`;
      for (const blockCount of [1, 7, 300, 1023]) {
        expect(isCutBefore(asByteString(path), blockCount)).toBe(isCut(path, blockCount));
      }
    }
  });

  test("cuts about once in 1024 blocks", () => {
    let cuts = 0;
    for (let i = 0; i < 20_000; i++) if (isCutBefore(asByteString(`lib/${i}.py`), 8)) cuts++;
    // 20,000 files of 8 blocks are 156 times 1024 blocks; the standard deviation is 12.
    expect(Math.abs(cuts - 156)).toBeLessThan(50);
  });

  // Another answer for one of these moves files in every disk image: LAYOUT_VERSION changes with it.
  test.each([
    // The digest starts ca 97 81 12: 0x128197ca * 1024 / 2^32 is 74.02.
    ["a", 74, false],
    ["a", 75, true],
  ])("%s of %i blocks: %s", (path, blockCount, expected) => {
    expect(isCutBefore(asByteString(path), blockCount)).toBe(expected);
  });
});
