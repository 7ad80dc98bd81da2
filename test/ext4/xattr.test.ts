import { describe, expect, test } from "vitest";

import { asByteString, viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import { CHECKSUM_SEED } from "../../src/ext4/profile.ts";
import {
  encodeInodeXattrs,
  encodeXattrBlock,
  hashValue,
  placeXattrs,
  xattrsKey,
  type XattrPlacement,
} from "../../src/ext4/xattr.ts";
import type { Inode } from "../../src/tree/tree.ts";
import { codeOf } from "../support/judge-disk.ts";
import { makeInode } from "./_make-inode.ts";

function place(xattrs: Readonly<Record<string, Uint8Array>>, type: Inode["type"] = "file"): XattrPlacement {
  const map = new Map(Object.entries(xattrs).map(([name, value]) => [asByteString(name), value] as const));
  return placeXattrs(makeInode({ type, xattrs: map }), () => "/f");
}

const bytes = (count: number): Uint8Array => new Uint8Array(count).fill(0x76);
/** user, group and others: the smallest list. */
const ACL = Uint8Array.of(
  ...[2, 0, 0, 0],
  ...[1, 0, 6, 0, 255, 255, 255, 255],
  ...[4, 0, 4, 0, 255, 255, 255, 255],
  ...[32, 0, 4, 0, 255, 255, 255, 255],
);

describe("attributes lie", () => {
  test.each([
    // 4 of header, 4 of end, 16 and 4 for the entry of user.a: 68 of the inode's 96 bytes are left.
    [0, 1, 0],
    [68, 1, 0],
    [69, 0, 1],
    // 32 of header: 4040 of the block's 4096 are left.
    [4040, 0, 1],
  ])("where a value of %i bytes fits", (size, inInode, inBlock) => {
    const placed = place({ "user.a": bytes(size) });
    expect([placed.inInode.length, placed.inBlock.length]).toEqual([inInode, inBlock]);
    expect(placed.inBlock.some(({ isInInode }) => isInInode)).toBe(false);
  });

  test("in an inode of their own from 4041 bytes on, the largest first", () => {
    expect(place({ "user.a": bytes(4041) }).inBlock[0]?.isInInode).toBe(true);
    const placed = place({ "user.a": bytes(1500), "user.b": bytes(2000), "user.c": bytes(1600) });
    expect(placed.inBlock.map(({ isInInode }) => isInInode)).toEqual([false, true, false]);
  });

  test("together: in the inode all or none", () => {
    const placed = place({ "user.a": bytes(4), "user.b": bytes(80) });
    expect([placed.inInode.length, placed.inBlock.length]).toEqual([0, 2]);
  });

  test("in the kernel's order: index, length, bytes", () => {
    const names = ["trusted.a", "user.bb", "user.b", "security.a", "user.a", "user.\xff"];
    const placed = place(Object.fromEntries(names.map((name) => [name, bytes(0)])));
    const shown = placed.inBlock.concat(placed.inInode).map((x) => `${x.nameIndex}.${x.name}`);
    expect(shown).toEqual(["1.a", "1.b", "1.\xff", "1.bb", "4.a", "6.a"]);
  });
});

describe("an attribute is refused", () => {
  test.each<[string, string, Uint8Array, Inode["type"], string]>([
    ["with a value too large", "user.a", bytes(65_537), "file", "XATTR_TOO_LARGE"],
    ["with a name too long", `user.${"n".repeat(251)}`, bytes(1), "file", "XATTR_INVALID"],
    ["without a name", "user.", bytes(1), "file", "XATTR_INVALID"],
    ["with a NUL in its name", "user.a\0b", bytes(1), "file", "XATTR_INVALID"],
    ["of no known kind", "other.a", bytes(1), "file", "XATTR_UNSUPPORTED"],
    ["of the system", "system.data", bytes(1), "file", "XATTR_UNSUPPORTED"],
    ["of a user on a symlink", "user.a", bytes(1), "symlink", "XATTR_INVALID"],
    ["of a user on a device", "user.a", bytes(1), "char", "XATTR_INVALID"],
    ["of a user on a pipe", "user.a", bytes(1), "fifo", "XATTR_INVALID"],
    ["that is a broken list", "system.posix_acl_access", bytes(5), "file", "XATTR_INVALID"],
    ["that is a list of a symlink", "system.posix_acl_access", ACL, "symlink", "XATTR_INVALID"],
    ["that is a default list of a file", "system.posix_acl_default", ACL, "file", "XATTR_INVALID"],
  ])("%s", (...[, name, value, type, code]) => {
    expect(codeOf(() => place({ [name]: value }, type))).toBe(code);
  });

  test.each<[string, string, Uint8Array, Inode["type"]]>([
    ["the largest value", "user.a", bytes(65_536), "file"],
    ["the longest name", `user.${"n".repeat(250)}`, bytes(1), "file"],
    ["an empty value", "user.a", bytes(0), "dir"],
    ["a list", "system.posix_acl_access", ACL, "block"],
    ["a default list of a directory", "system.posix_acl_default", ACL, "dir"],
    ["trusted ones of anything", "trusted.a", bytes(1), "symlink"],
    ["the security of anything", "security.selinux", bytes(1), "fifo"],
  ])("but not for %s", (_, name, value, type) => {
    expect(codeOf(() => place({ [name]: value }, type))).toBe("none");
  });

  test("as one too many, where names alone fill the block", () => {
    const many = (count: number): Record<string, Uint8Array> =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`user.${1000 + i}`, bytes(0)]));
    // (4096 - 32 - 4) / 20.
    expect(place(many(203)).inBlock).toHaveLength(203);
    expect(codeOf(() => place(many(204)))).toBe("XATTR_TOO_LARGE");
  });
});

describe("the key of attributes", () => {
  test("differs wherever an attribute does", () => {
    const keyOf = (xattrs: Record<string, Uint8Array>): string => {
      const placed = place(xattrs);
      return xattrsKey([...placed.inInode, ...placed.inBlock]);
    };
    const all = [
      {},
      { "user.a": bytes(1) },
      { "user.a": bytes(2) },
      { "user.b": bytes(1) },
      { "trusted.a": bytes(1) },
      { "user.a": bytes(0), "user.b": bytes(1) },
      { "user.a": bytes(1), "user.b": bytes(0) },
      { "user.a1:": bytes(0) },
    ].map(keyOf);
    expect(new Set(all).size).toBe(all.length);
    expect(keyOf({ "user.b": bytes(1), "user.a": bytes(3) })).toBe(
      keyOf({ "user.a": bytes(3), "user.b": bytes(1) }),
    );
  });
});

describe("attributes in the inode", () => {
  test("have their entries first and their values last", () => {
    const room = encodeInodeXattrs(place({ "user.a": Uint8Array.of(1, 2, 3), "user.b": bytes(0) }).inInode);
    const view = viewOf(room);
    expect(room).toHaveLength(96);
    expect(view.getUint32(0, true)).toBe(0xea020000);
    // e_name_len, e_name_index, e_value_offs from the first entry, e_value_inum, e_value_size.
    expect([room[4], room[5], view.getUint16(6, true)]).toEqual([1, 1, 92 - 4]);
    expect([view.getUint32(8, true), view.getUint32(12, true), room[20]]).toEqual([0, 3, 0x61]);
    expect([...room.subarray(92)]).toEqual([1, 2, 3, 0]);
    expect([view.getUint16(26, true), view.getUint32(32, true)]).toEqual([0, 0]);
    expect(view.getUint32(44, true)).toBe(0);
  });

  test("are nothing where there are none", () => {
    expect(encodeInodeXattrs([])).toHaveLength(0);
  });
});

describe("a block of attributes", () => {
  const encode = (xattrs: Record<string, Uint8Array>, blockNumber = 77): Uint8Array =>
    encodeXattrBlock(place(xattrs).inBlock, { blockNumber, referenceCount: 3, valueInodeNumber: () => 4711 });

  test("has its header, its checksum and its values", () => {
    const block = encode({ "user.a": bytes(100) });
    const view = viewOf(block);
    expect([0, 4, 8].map((at) => view.getUint32(at, true))).toEqual([0xea020000, 3, 1]);
    expect(view.getUint16(34, true)).toBe(4096 - 100);
    const found = view.getUint32(0x10, true);
    view.setUint32(0x10, 0, true);
    expect(found).toBe(crc32c(crc32c(CHECKSUM_SEED, Uint8Array.of(77, 0, 0, 0, 0, 0, 0, 0)), block));
  });

  test("of another place has another checksum and is the same else", () => {
    const [one, other] = [encode({ "user.a": bytes(100) }), encode({ "user.a": bytes(100) }, 78)];
    expect(one).not.toEqual(other);
    one.fill(0, 0x10, 0x14);
    other.fill(0, 0x10, 0x14);
    expect(one).toEqual(other);
  });

  test("names the inode of a value that lies elsewhere", () => {
    const view = viewOf(encode({ "user.a": bytes(5000) }));
    expect([view.getUint16(34, true), view.getUint32(36, true), view.getUint32(40, true)]).toEqual([
      0, 4711, 5000,
    ]);
  });

  test("has a value's hash from the seed of the disk image", () => {
    expect(hashValue(bytes(5000))).toBe(crc32c(CHECKSUM_SEED, bytes(5000)));
  });
});
