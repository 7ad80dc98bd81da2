import { describe, expect, test } from "vitest";

import { viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import { clampTime, encodeInode, inodeRooms, inodeSeed, type InodeFields } from "../../src/ext4/inode.ts";
import { CHECKSUM_SEED } from "../../src/ext4/profile.ts";

const FIELDS: InodeFields = {
  inodeNumber: 12,
  mode: 0o100644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  linkCount: 1,
  sectorCount: 0,
  flags: 0,
  iBlock: new Uint8Array(60),
  xattrBlock: 0,
  xattrBytes: undefined,
  xattrValue: undefined,
};

function encode(fields: Partial<InodeFields>): DataView {
  const block = new Uint8Array(512);
  encodeInode(inodeRooms(block)[1]!, { ...FIELDS, ...fields });
  expect(block.subarray(0, 256).every((byte) => byte === 0)).toBe(true);
  return viewOf(block.slice(256));
}

describe("an inode", () => {
  test("has every field at its place", () => {
    const view = encode({
      mode: 0o104755,
      uid: 0x12345678,
      gid: 0x9abcdef0,
      sizeBytes: 0x1_2345_6789,
      linkCount: 65_000,
      sectorCount: 0xf_0000_0008,
      flags: 0x80000,
      iBlock: new Uint8Array(60).fill(0xbb),
      xattrBlock: 4711,
      xattrBytes: new Uint8Array(96).fill(0xaa),
    });
    const fields = {
      mode: view.getUint16(0, true),
      uid: [view.getUint16(2, true), view.getUint16(0x78, true)],
      gid: [view.getUint16(0x18, true), view.getUint16(0x7a, true)],
      size: [view.getUint32(4, true), view.getUint32(0x6c, true)],
      links: view.getUint16(0x1a, true),
      sectors: [view.getUint32(0x1c, true), view.getUint16(0x74, true)],
      flags: view.getUint32(0x20, true),
      xattrBlock: view.getUint32(0x68, true),
      extraBytes: view.getUint16(0x80, true),
    };
    expect(fields).toEqual({
      mode: 0o104755,
      uid: [0x5678, 0x1234],
      gid: [0xdef0, 0x9abc],
      size: [0x23456789, 1],
      links: 65_000,
      sectors: [8, 15],
      flags: 0x80000,
      xattrBlock: 4711,
      extraBytes: 32,
    });
    const bytes = new Uint8Array(view.buffer);
    expect(bytes.subarray(0x28, 0x28 + 60).every((byte) => byte === 0xbb)).toBe(true);
    expect(bytes.subarray(160).every((byte) => byte === 0xaa)).toBe(true);
  });

  test("has a checksum of its number and its bytes", () => {
    const view = encode({ inodeNumber: 12, mode: 0o100600 });
    const found = view.getUint16(0x7c, true) | (view.getUint16(0x82, true) << 16);
    view.setUint16(0x7c, 0, true);
    view.setUint16(0x82, 0, true);
    expect(found >>> 0).toBe(crc32c(inodeSeed(12), new Uint8Array(view.buffer)));
    const seed = crc32c(CHECKSUM_SEED, Uint8Array.of(12, 0, 0, 0, 0, 0, 0, 0));
    expect(inodeSeed(12)).toBe(seed);
  });

  test.each([
    // Kernel documentation, "Inode Timestamps": the table of extra bits.
    [-(2 ** 31), 0, 0x80000000],
    [-1, 0, 0xffffffff],
    [0, 0, 0],
    [2 ** 31 - 1, 0, 0x7fffffff],
    [2 ** 31, 1, 0x80000000],
    [2 ** 32 - 1, 1, 0xffffffff],
    [2 ** 32, 1, 0],
    [2 ** 32 + 2 ** 31 - 1, 1, 0x7fffffff],
    [2 ** 32 + 2 ** 31, 2, 0x80000000],
    [2 ** 33, 2, 0],
    [2 ** 33 + 2 ** 31, 3, 0x80000000],
    [3 * 2 ** 32, 3, 0],
    [2 ** 34 - 2 ** 31 - 1, 3, 0x7fffffff],
  ])("keeps %i seconds with epoch bits %i", (seconds, epoch, low) => {
    const view = encode({ mtime: { seconds, nanoseconds: 999_999_999 } });
    const extra = ((999_999_999 << 2) | epoch) >>> 0;
    for (const at of [0x8, 0xc, 0x10, 0x90]) expect(view.getUint32(at, true)).toBe(low);
    for (const at of [0x84, 0x88, 0x8c, 0x94]) expect(view.getUint32(at, true)).toBe(extra);
  });

  test("of a value counts its references where others have times", () => {
    const view = encode({
      mtime: { seconds: 7, nanoseconds: 7 },
      xattrValue: { referenceCount: 3, valueHash: 0xdeadbeef },
    });
    expect(view.getUint32(0x8, true)).toBe(0xdeadbeef);
    expect(view.getUint32(0xc, true)).toBe(0);
    expect(view.getUint32(0x10, true)).toBe(0);
    expect(view.getUint32(0x24, true)).toBe(3);
    for (const at of [0x84, 0x88, 0x8c, 0x90, 0x94]) expect(view.getUint32(at, true)).toBe(0);
  });
});

/** 1901-12-13 and 2446-05-10: 34 bits of seconds, counted from -2^31. */
const [SECONDS_MIN, SECONDS_MAX] = [-(2 ** 31), 2 ** 34 - 2 ** 31 - 1];

describe("a time", () => {
  test.each([
    [SECONDS_MIN, 0],
    [SECONDS_MIN, 999_999_999],
    [0, 0],
    [SECONDS_MAX, 999_999_999],
  ])("that ext4 can hold stays: %i s %i ns", (seconds, nanoseconds) => {
    expect(clampTime({ seconds, nanoseconds })).toEqual({ time: { seconds, nanoseconds }, isClamped: false });
  });

  test("before 1901 or after 2446 becomes the nearest there is", () => {
    expect(clampTime({ seconds: SECONDS_MIN - 1, nanoseconds: 999_999_999 })).toEqual({
      time: { seconds: SECONDS_MIN, nanoseconds: 0 },
      isClamped: true,
    });
    expect(clampTime({ seconds: SECONDS_MAX + 1, nanoseconds: 0 })).toEqual({
      time: { seconds: SECONDS_MAX, nanoseconds: 999_999_999 },
      isClamped: true,
    });
    expect([SECONDS_MIN, SECONDS_MAX].map((s) => new Date(s * 1000).toISOString().slice(0, 10))).toEqual([
      "1901-12-13",
      "2446-05-10",
    ]);
  });
});
