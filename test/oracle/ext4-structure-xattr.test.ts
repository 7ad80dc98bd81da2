/** The writer at the edges of ext4's extended attributes; judged from outside. */
import { expect, test } from "vitest";

import { buildDiskImage } from "../support/disk-image.ts";
import { codeOf, expectRecipe } from "../support/judge-disk.ts";
import { describeWith } from "../support/judge.ts";
import { recipeTar, type RecipeEntry } from "../support/tree-recipe.ts";

/** Bytes that differ from those of any other seed. */
function filler(sizeBytes: number, seed: number): string {
  return String.fromCharCode(...Array.from({ length: sizeBytes }, (_, i) => (seed + i * 7 + (i >> 8)) & 255));
}

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** Files, each with one attribute of a size of its own. */
function sized(sizes: readonly number[]): RecipeEntry[] {
  return sizes.map((size) => ({ path: `/f${size}`, xattrs: { "user.a": filler(size, size) } }));
}

// A list as setxattr(2) takes it: version 2; user, a named user, group, mask, others.
const ACL = acl([
  [0x01, 7, -1],
  [0x02, 5, 1000],
  [0x02, 4, 70_000],
  [0x04, 5, -1],
  [0x08, 4, 50],
  [0x10, 7, -1],
  [0x20, 4, -1],
]);
const CAPABILITY = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

function acl(entries: readonly (readonly [tag: number, permissions: number, id: number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + entries.length * 8));
  view.setUint32(0, 2, true);
  entries.forEach(([tag, permissions, id], i) => {
    view.setUint16(4 + i * 8, tag, true);
    view.setUint16(6 + i * 8, permissions, true);
    view.setInt32(8 + i * 8, id, true);
  });
  return new Uint8Array(view.buffer);
}

describeWith(["e2fsck"], "one attribute", () => {
  test("around the room of the inode", async () => {
    const disk = await expectRecipe(sized(range(0, 104)));
    // 96 bytes of room, less 4 of header, 4 of end, 16 and 4 for the entry: values up to 68.
    expect(disk.plan.xattrBlocks).toHaveLength(104 - 68);
  });

  test("around the room of a block", async () => {
    const disk = await expectRecipe(sized(range(4030, 4050)));
    // 4096 bytes, less 32 of header, 4 of end, 16 and 4 for the entry: values up to 4040.
    expect(disk.plan.valueInodes.size).toBe(10);
  });

  test("of the sizes of blocks, up to the largest", async () => {
    await expectRecipe(sized([4095, 4096, 4097, 8192, 8193, 60 * 1024, 65_535, 65_536]));
  });

  test("is refused one byte above the largest", () => {
    expect(codeOf(() => buildDiskImage([recipeTar(sized([65_537]))]))).toBe("XATTR_TOO_LARGE");
  });

  test("with names of any length and bytes", async () => {
    const names = [...range(1, 250).map((length) => "n".repeat(length)), "\xc3\xa9", "\xff\x80", "\xe9t\xe9"];
    await expectRecipe(
      names.map((name, i) => ({ path: `/f${i}`, xattrs: { [`user.${name}`]: filler(i % 80, i) } })),
    );
  });

  test("is refused one byte above the longest name", () => {
    const entry = { path: "/f", xattrs: { [`user.${"n".repeat(251)}`]: "1" } };
    expect(codeOf(() => buildDiskImage([recipeTar([entry])]))).toBe("XATTR_INVALID");
  });
});

describeWith(["e2fsck"], "attributes", () => {
  test("on every type of file that may have them", async () => {
    const trusted = { "trusted.overlay.opaque": "y", "security.x": filler(100, 1) };
    await expectRecipe([
      { path: "/", type: "dir", xattrs: { "user.root": "1" } },
      { path: "/d", type: "dir", xattrs: { "user.a": filler(200, 3), ...trusted } },
      { path: "/l", target: "short", xattrs: trusted },
      { path: "/long", target: "t".repeat(1000), xattrs: trusted },
      { path: "/c", type: "char", rdev: [1, 3], xattrs: trusted },
      { path: "/b", type: "block", rdev: [7, 1], xattrs: trusted },
      { path: "/p", type: "fifo", xattrs: { "trusted.a": filler(5000, 1) } },
    ]);
  });

  test("that are access control lists and capabilities", async () => {
    await expectRecipe([
      { path: "/cap", mode: 0o755, xattrs: { "security.capability": CAPABILITY } },
      { path: "/acl", mode: 0o674, xattrs: { "system.posix_acl_access": ACL } },
      {
        path: "/d",
        type: "dir",
        mode: 0o674,
        xattrs: { "system.posix_acl_access": ACL, "system.posix_acl_default": ACL, "user.a": filler(40, 1) },
      },
    ]);
  });

  test("of one file by hundreds, up to the last that fits", async () => {
    // Each takes 16 bytes and 4 for its name: 203 in the 4060 that a block has.
    const many = (count: number): RecipeEntry => ({
      path: "/f",
      xattrs: Object.fromEntries(range(0, count - 1).map((i) => [`user.${String(i).padStart(4, "0")}`, ""])),
    });
    await expectRecipe([many(203)]);
    expect(codeOf(() => buildDiskImage([recipeTar([many(204)])]))).toBe("XATTR_TOO_LARGE");
  });

  test("whose values leave the block one after another", async () => {
    const several = (count: number, sizeBytes: number): Record<string, string> =>
      Object.fromEntries(range(1, count).map((i) => [`user.v${i}`, filler(sizeBytes + i, i)]));
    const disk = await expectRecipe([
      { path: "/three", xattrs: several(3, 2000) },
      { path: "/hundred", xattrs: several(100, 500) },
      { path: "/large", xattrs: several(10, 60_000) },
      {
        path: "/mixed",
        xattrs: { ...several(2, 5000), "user.small": "1", "security.capability": CAPABILITY },
      },
    ]);
    expect(disk.plan.valueInodes.size).toBeGreaterThan(90);
  });
});

describeWith(["e2fsck"], "equal attributes", () => {
  test("share blocks of 1024 inodes", async () => {
    const xattrs = { "user.a": filler(300, 1), "security.b": "x" };
    const disk = await expectRecipe(range(1, 3000).map((i) => ({ path: `/f${i}`, xattrs })));
    expect(disk.plan.xattrBlocks.map((block) => block.referenceCount)).toEqual([1024, 1024, 952]);
  });

  test("share blocks and values where both are large", async () => {
    const value = filler(10_000, 1);
    const disk = await expectRecipe([
      ...range(1, 1500).map((i) => ({ path: `/f${i}`, xattrs: { "user.a": value } })),
      { path: "/other", xattrs: { "user.other": value, "trusted.a": value } },
      { path: "/again", xattrs: { "user.a": value, "user.b": filler(10_001, 1) } },
    ]);
    // Two blocks with the first set, and two blocks more of which one has it twice.
    expect([...disk.plan.valueInodes.values()].map(({ referenceCount }) => referenceCount)).toEqual([5, 1]);
  });

  test("in another order are equal", async () => {
    const [one, other] = [filler(200, 1), filler(200, 2)];
    const disk = await expectRecipe([
      { path: "/f", xattrs: { "user.a": one, "user.b": other } },
      { path: "/g", xattrs: { "user.b": other, "user.a": one } },
      { path: "/h", xattrs: { "user.a": other, "user.b": one } },
    ]);
    expect(disk.plan.xattrBlocks).toHaveLength(2);
  });
});
