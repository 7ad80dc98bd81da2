/** The writer at the edges of ext4's directories; judged from outside. */
import { expect, test } from "vitest";

import { indexedBlockCount, indexNames } from "../../src/ext4/htree.ts";
import type { InodePlace } from "../../src/ext4/metadata-needs.ts";
import { buildDiskImage, type DiskImage } from "../support/disk-image.ts";
import { COLLIDING_NAMES } from "../support/colliding-names.ts";
import { expectRecipe, inMount } from "../support/judge-disk.ts";
import { describeWith, testWith } from "../support/judge.ts";
import { longNames, longNamesWithin } from "../support/long-names.ts";
import { recipeTar, type RecipeEntry } from "../support/tree-recipe.ts";

const isSlow = process.env["SLOW"] === "1";

/** Files of these names in a directory `/d`. */
function filled(names: readonly string[]): RecipeEntry[] {
  return [{ path: "/d", type: "dir" }, ...names.map((name) => ({ path: `/d/${name}` }))];
}

/** The place of the inode with the highest number: directories come after files. */
function lastPlace({ plan }: DiskImage): InodePlace | undefined {
  return plan.places.get(Math.max(...plan.places.keys()));
}

describeWith(["e2fsck"], "a directory", () => {
  // 24 bytes for the dots, 15 * 264, and 100: the 4084 that a block has for entries.
  const fullBlock = [...longNames(15), "x".repeat(92)];

  test("that fills its block has one", async () => {
    const disk = await expectRecipe(filled(fullBlock));
    const directory = lastPlace(disk);
    expect(directory?.dataBlockCount).toBe(1);
  });

  test.each([
    ["by one byte of the last name", [...fullBlock.slice(0, -1), "x".repeat(93)]],
    ["by one entry", [...fullBlock, "y"]],
  ])("that exceeds its block %s is indexed", async (_, names) => {
    const disk = await expectRecipe(filled(names));
    const directory = lastPlace(disk);
    expect(directory?.dataBlockCount).toBeGreaterThan(1);
  });

  test("has names of 1 to 255 bytes of any value", async () => {
    const bytes = Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1));
    const singles = bytes.filter((byte) => byte !== "/" && byte !== ".");
    const lengths = Array.from({ length: 255 }, (_, i) => "\xff".repeat(i + 1)).slice(1);
    const text = ["__proto__", "constructor", "0", "1", "10", "...", ". ", "\u00c3\u00a9", "\u00c3"];
    await expectRecipe(filled([...singles.filter((name) => !text.includes(name)), ...lengths, ...text]));
  });

  test("has the longest path the kernel takes", async () => {
    const names = longNames(15);
    const paths = names.map((_, i) => `/${names.slice(0, i + 1).join("/")}`);
    await expectRecipe(paths.map((path) => ({ path, type: "dir" })));
  });

  test("may lie 1,500 levels deep", async () => {
    const paths = Array.from({ length: 1500 }, (_, i) => "/d".repeat(i + 1));
    await expectRecipe(paths.map((path) => ({ path, type: "dir" })));
  });
});

describeWith(["e2fsck"], "the index of a directory", () => {
  // A root of 507 entries: 507 leaves below it, and the root's own block.
  const withinOneLevel = longNamesWithin(508);

  test("has one level as long as the root block names all leaves", async () => {
    const names = longNames(withinOneLevel);
    await expectRecipe(filled(names));
  });

  test("has two levels from one leaf more", async () => {
    const names = longNames(withinOneLevel + 1);
    expect(indexedBlockCount(indexNames(names, () => ""))).toBeGreaterThanOrEqual(1 + 1 + 508);
    await expectRecipe(filled(names));
  });

  test("has many nodes in its second level", async () => {
    const names = longNames(12_000);
    await expectRecipe(filled(names));
  });

  testWith(["debugfs"], "goes on in the next leaf where names collide", async () => {
    const others = longNames(60);
    await expectRecipe(filled([...COLLIDING_NAMES, ...others]));
    for (const count of [15, 16, 17, 30, 31]) await expectRecipe(filled(COLLIDING_NAMES.slice(0, count)));
  });

  testWith(["mount", "python3"], "leads the kernel to every name, also as it grows and shrinks", async () => {
    const names = [...COLLIDING_NAMES, ...longNames(500)];
    const script = `
names = [os.fsencode(name) for name in os.listdir(top + "/d")]
folder = os.fsencode(top) + b"/d/"
for name in names: os.lstat(folder + name)
for i in range(2000): os.close(os.open(folder + b"new-%d" % i + b"y" * 200, os.O_CREAT | os.O_EXCL))
for name in names: os.lstat(folder + name)
for name in names[::2]: os.unlink(folder + name)
for name in names[1::2]: os.lstat(folder + name)
for name in names[::2]: assert not os.path.lexists(folder + name)
print(len(names), len(os.listdir(folder)))`;
    const disk = buildDiskImage([recipeTar(filled(names))]);
    expect(await inMount(disk, false, script)).toBe("533 2266\n");
  });

  test.runIf(isSlow)(
    "holds a million names",
    async () => {
      const names = Array.from({ length: 1_000_000 }, (_, i) => `file-${i}`);
      const disk = buildDiskImage([recipeTar(filled(names))]);
      const script = `
found = os.listdir(top + "/d")
for name in found[::97]: os.lstat(f"{top}/d/{name}")
print(len(found), len(set(found)))`;
      expect(await inMount(disk, true, script)).toBe("1000000 1000000\n");
    },
    600_000,
  );
});

describeWith(["e2fsck", "mount", "python3"], "the link count of a directory", () => {
  // ext4 counts to 65,000, and writes 1 above (dir_nlink): 64,998 subdirectories, the name and `.`.
  test.each([64_998, 64_999, ...(isSlow ? [64_997, 65_000, 65_001] : [])])(
    "is right for %i subdirectories",
    async (count) => {
      const names = Array.from({ length: count }, (_, i) => String(i));
      const entries: RecipeEntry[] = [
        { path: "/d", type: "dir" },
        ...names.map((name) => ({ path: `/d/${name}`, type: "dir" as const })),
      ];
      const script = `print(json.dumps([os.lstat(top + "/d").st_nlink, len(os.listdir(top + "/d"))]))`;
      const disk = buildDiskImage([recipeTar(entries)]);
      const links = count + 2 > 65_000 ? 1 : count + 2;
      expect(JSON.parse(await inMount(disk, true, script))).toEqual([links, count]);
    },
  );
});
