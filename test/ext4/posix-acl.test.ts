import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { aclFromDisk, aclToDisk } from "../../src/ext4/posix-acl.ts";

const NOBODY = "ffffffff";
/** tag, permissions, id: each little-endian. */
const USER_OBJ = `01000700${NOBODY}`;
const USER_1000 = "02000500e8030000";
const GROUP_OBJ = `04000500${NOBODY}`;
const GROUP_50 = "0800040032000000";
const MASK = `10000700${NOBODY}`;
const OTHER = `20000400${NOBODY}`;

const xattr = (...entries: readonly string[]): Uint8Array => fromHex("02000000" + entries.join(""));

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof LambdaImgError) return error.code;
    throw error;
  }
  return "none";
}

it("drops the id of entries that name nobody, and brings it back", () => {
  const value = xattr(USER_OBJ, USER_1000, GROUP_OBJ, GROUP_50, MASK, OTHER);
  const disk = aclToDisk(value);
  expect(toHex(disk)).toBe(
    "01000000" + "01000700" + USER_1000 + "04000500" + GROUP_50 + "10000700" + "20000400",
  );
  expect(toHex(aclFromDisk(disk))).toBe(toHex(value));
});

it("ignores the id of entries that name nobody, as the kernel does", () => {
  const value = xattr("0100070000000000", GROUP_OBJ, OTHER);
  expect(toHex(aclFromDisk(aclToDisk(value)))).toBe(toHex(xattr(USER_OBJ, GROUP_OBJ, OTHER)));
});

it("gives every valid list back byte for byte", () => {
  const permissions = fc.integer({ min: 0, max: 7 });
  const named = fc.array(fc.tuple(permissions, fc.integer({ min: 0, max: 0xfffffffe })), { maxLength: 4 });
  const shape = fc.tuple(
    fc.tuple(permissions, permissions, permissions, permissions),
    named,
    named,
    fc.boolean(),
  );
  const entry = (tag: number, bits: number, id: number): string => {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, tag, true);
    view.setUint16(2, bits, true);
    view.setUint32(4, id, true);
    return toHex(bytes);
  };
  fc.assert(
    fc.property(shape, ([bits, users, groups, hasMask]) => {
      const needsMask = hasMask || users.length + groups.length > 0;
      const value = xattr(
        entry(1, bits[0], 0xffffffff),
        ...users.map(([allowed, id]) => entry(2, allowed, id)),
        entry(4, bits[1], 0xffffffff),
        ...groups.map(([allowed, id]) => entry(8, allowed, id)),
        ...(needsMask ? [entry(16, bits[2], 0xffffffff)] : []),
        entry(32, bits[3], 0xffffffff),
      );
      const disk = aclToDisk(value);
      expect(toHex(aclFromDisk(disk))).toBe(toHex(value));
      expect(toHex(aclToDisk(aclFromDisk(disk)))).toBe(toHex(disk));
    }),
  );
});

describe("a list that the kernel would refuse", () => {
  it.each<[string, Uint8Array]>([
    ["is empty bytes", new Uint8Array(0)],
    ["has half a header", fromHex("0200")],
    ["has no entries", xattr()],
    ["has version 1", fromHex("01000000" + USER_OBJ + GROUP_OBJ + OTHER)],
    ["has half an entry", fromHex("02000000" + USER_OBJ + GROUP_OBJ + "20000400")],
    ["has no entry for the owner", xattr(GROUP_OBJ, OTHER)],
    ["has no entry for others", xattr(USER_OBJ, GROUP_OBJ)],
    ["names a user but has no mask", xattr(USER_OBJ, USER_1000, GROUP_OBJ, OTHER)],
    ["names a group but has no mask", xattr(USER_OBJ, GROUP_OBJ, GROUP_50, OTHER)],
    ["names a user behind the group", xattr(USER_OBJ, GROUP_OBJ, USER_1000, MASK, OTHER)],
    ["has the owner twice", xattr(USER_OBJ, USER_OBJ, GROUP_OBJ, OTHER)],
    ["has others twice", xattr(USER_OBJ, GROUP_OBJ, OTHER, OTHER)],
    ["has an unknown tag", xattr(USER_OBJ, GROUP_OBJ, `40000000${NOBODY}`, OTHER)],
    ["has two tags in one", xattr(USER_OBJ, GROUP_OBJ, `30000000${NOBODY}`)],
    ["has an unknown permission", xattr(`01000800${NOBODY}`, GROUP_OBJ, OTHER)],
    ["names a user without an id", xattr(USER_OBJ, `02000500${NOBODY}`, GROUP_OBJ, MASK, OTHER)],
  ])("%s: refused on the way to the disk", (_what, value) => {
    expect(codeOf(() => aclToDisk(value))).toBe("TREE_INVALID");
  });

  it.each<[string, string]>([
    ["is empty", ""],
    ["has version 2", "02000000"],
    ["has no entries", "01000000"],
    ["ends inside a short entry", "01000000" + "0100"],
    ["ends inside a long entry", "01000000" + "01000700" + "02000500e803"],
    ["is out of order", "01000000" + "20000400" + "01000700"],
  ])("%s: refused on the way from the disk", (_what, hex) => {
    expect(codeOf(() => aclFromDisk(fromHex(hex)))).toBe("DISK_IMAGE_INVALID");
  });
});
