import { createHash } from "node:crypto";

import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { isCutBefore } from "../../src/base/draw.ts";
import {
  BLOCKS_PER_GROUP_CUT,
  BLOCKS_PER_TAIL_CUT,
  drawOf,
  FIRST_BLOCKS,
  LATE_ENDS_MAX,
  LOOK_BACK_BLOCKS,
  PARENT_BLOCKS_MIN,
  SMALL_FILE_BLOCKS,
  TAIL_ROOM_BLOCKS,
  TAIL_UNIT_BLOCKS,
} from "../../src/segment/cut.ts";

describe("cuts", () => {
  // Another value moves files in every disk image: LAYOUT_VERSION changes with it.
  test("have the numbers of docs/format/disk-image.md", () => {
    expect([BLOCKS_PER_GROUP_CUT, PARENT_BLOCKS_MIN, 128 - LOOK_BACK_BLOCKS]).toEqual([512, 512, 118]);
    expect(LATE_ENDS_MAX).toBe(2);
    expect([BLOCKS_PER_TAIL_CUT, TAIL_UNIT_BLOCKS, TAIL_ROOM_BLOCKS]).toEqual([512, 8, 40]);
    expect([SMALL_FILE_BLOCKS, FIRST_BLOCKS]).toEqual([4, 2048]);
  });

  test("are drawn from the SHA-256 of the path as its bytes are", () => {
    for (let i = 0; i < 500; i++) {
      const digest = createHash("sha256").update(`dir/\xff${i}`, "latin1").digest();
      const expected = { group: digest.readUInt32LE(0), tail: digest.readUInt32LE(4) };
      expect(drawOf(asByteString(`dir/\xff${i}`))).toEqual(expected);
    }
  });

  test("come about once in so many blocks", () => {
    let cuts = 0;
    for (let i = 0; i < 20_000; i++)
      if (isCutBefore(drawOf(asByteString(`lib/${i}.py`)).group, 8, 1024)) cuts++;
    // 20,000 files of 8 blocks are 156 times 1024 blocks; the standard deviation is 12.
    expect(Math.abs(cuts - 156)).toBeLessThan(50);
  });
});
