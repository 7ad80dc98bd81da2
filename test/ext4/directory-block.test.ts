import { describe, expect, test } from "vitest";

import { asByteString, viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import {
  DIRECTORY_ROOM_BYTES,
  directoryEntryBytes,
  encodeEntryBlock,
} from "../../src/ext4/directory-block.ts";
import { inodeSeed } from "../../src/ext4/inode.ts";

const entry = (
  name: string,
  inodeNumber = 12,
  fileType = 1,
): Parameters<typeof encodeEntryBlock>[0][number] => ({
  name: asByteString(name),
  inodeNumber,
  fileType,
});

describe("an entry", () => {
  test.each([
    [1, 12],
    [4, 12],
    [5, 16],
    [252, 260],
    [253, 264],
    [255, 264],
  ])("for a name of %i bytes takes %i", (nameBytes, bytes) => {
    expect(directoryEntryBytes(asByteString("n".repeat(nameBytes)))).toBe(bytes);
  });
});

describe("a block of entries", () => {
  test("has them one after another; the last reaches to the tail", () => {
    const block = encodeEntryBlock([entry("a", 15, 2), entry("name5", 16)], 11);
    const view = viewOf(block);
    expect([...block.subarray(0, 12)]).toEqual([15, 0, 0, 0, 12, 0, 1, 2, 0x61, 0, 0, 0]);
    expect(view.getUint32(12, true)).toBe(16);
    expect(view.getUint16(16, true)).toBe(DIRECTORY_ROOM_BYTES - 12);
    expect([...block.subarray(18, 25)]).toEqual([5, 1, 0x6e, 0x61, 0x6d, 0x65, 0x35]);
    expect(block.subarray(25, DIRECTORY_ROOM_BYTES).every((byte) => byte === 0)).toBe(true);
  });

  test("ends in a tail with its checksum", () => {
    const block = encodeEntryBlock([entry("a")], 11);
    expect(DIRECTORY_ROOM_BYTES).toBe(4084);
    expect([...block.subarray(4084, 4092)]).toEqual([0, 0, 0, 0, 12, 0, 0, 0xde]);
    expect(viewOf(block).getUint32(4092, true)).toBe(crc32c(inodeSeed(11), block.subarray(0, 4084)));
  });

  test("may be full to the last byte", () => {
    const names = [...Array.from({ length: 15 }, () => "n".repeat(255)), "x".repeat(116)];
    const block = encodeEntryBlock(
      names.map((name) => entry(name)),
      11,
    );
    expect(viewOf(block).getUint16(15 * 264 + 4, true)).toBe(124);
    expect(block[4083]).toBe(0x78);
  });

  test("of more than fits is a bug of the caller's", () => {
    const names = [...Array.from({ length: 15 }, () => "n".repeat(255)), "x".repeat(117), "y"];
    expect(() =>
      encodeEntryBlock(
        names.map((name) => entry(name)),
        11,
      ),
    ).toThrow();
  });
});
