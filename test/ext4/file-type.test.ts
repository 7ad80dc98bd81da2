import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { deviceBlock, directoryLinkCount, FILE_TYPES, modeOf } from "../../src/ext4/file-type.ts";
import { makeInode } from "./_make-inode.ts";

describe("the type of a file", () => {
  test.each([
    ["file", 0x8000, 1],
    ["dir", 0x4000, 2],
    ["char", 0x2000, 3],
    ["block", 0x6000, 4],
    ["fifo", 0x1000, 5],
    ["symlink", 0xa000, 7],
  ] as const)(
    "%s has its bits in the mode and its number in directories",
    (type, modeBits, directoryType) => {
      expect(FILE_TYPES[type]).toEqual({ modeBits, directoryType });
      expect(modeOf(makeInode({ type, mode: 0o7751 }))).toBe(modeBits | 0o7751);
    },
  );
});

describe("the number of a device", () => {
  test.each([
    // old_encode_dev in the first word as long as both fit a byte, then new_encode_dev in the second.
    [0, 0, 0, 0],
    [1, 3, 0x0103, 0],
    [255, 255, 0xffff, 0],
    [255, 256, 0, 0x0010ff00],
    [256, 0, 0, 0x00010000],
    [4095, 1_048_575, 0, 0xffffffff],
  ])("%i:%i", (deviceMajor, deviceMinor, first, second) => {
    const view = new DataView(deviceBlock(makeInode({ type: "char", deviceMajor, deviceMinor })).buffer);
    expect([view.getUint32(0, true), view.getUint32(4, true)]).toEqual([first, second]);
  });
});

describe("the link count of a directory", () => {
  test.each([
    [0, 2],
    [1, 3],
    [64_997, 64_999],
    [64_998, 65_000],
    // ext4_inc_count, feature dir_nlink: 1 means "not counted".
    [64_999, 1],
    [64_999 + 1, 1],
  ])("with %i subdirectories is %i", (count, links) => {
    const children = new Map([
      ...Array.from(
        { length: count },
        (_, i) => [asByteString(`d${i}`), makeInode({ type: "dir" })] as const,
      ),
      [asByteString("file"), makeInode({ type: "file" })] as const,
    ]);
    expect(directoryLinkCount(makeInode({ type: "dir", children }))).toBe(links);
  });
});
