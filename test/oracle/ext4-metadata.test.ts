/** The writer's metadata beside the superblock and behind the segments; judged from outside. */
import { expect, test } from "vitest";

import { MIB } from "../../src/base/units.ts";
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import type { DiskPlan } from "../../src/ext4/plan.ts";
import { buildDiskImage } from "../support/disk-image.ts";
import { expectTree, inMount } from "../support/judge-disk.ts";
import { describeWith } from "../support/judge.ts";
import { longNames } from "../support/long-names.ts";
import { recipeTar, recipeTree, type RecipeEntry } from "../support/tree-recipe.ts";

/** What a layer has that needs blocks besides those of its files' contents. */
interface Needs {
  readonly links: number;
  /** Names of 255 bytes in a directory, of which 15 fit a block. */
  readonly names: number;
  readonly directories: number;
}

/** Entries of a layer, in directories of its own and in one that all layers have an entry for. */
function layerOf(layer: string, { links, names, directories }: Needs): RecipeEntry[] {
  const parts = Array.from({ length: 6 }, (_, i) => ({ offset: i * 8192, bytes: layer }));
  return [
    { path: "/shared", type: "dir", xattrs: { "user.of": layer.repeat(300) } },
    { path: `/shared/${layer}`, body: layer.repeat(5000) },
    { path: `/${layer}`, type: "dir" },
    { path: `/${layer}/holed`, sparse: { sizeBytes: 50_000, parts } },
    { path: `/${layer}/own`, xattrs: { "user.own": layer.repeat(1000), "user.large": layer.repeat(9000) } },
    { path: `/${layer}/same`, xattrs: { "user.same": "s".repeat(500) } },
    ...Array.from({ length: links }, (_, i) => ({ path: `/${layer}/l${i}`, target: "t".repeat(60 + i) })),
    ...Array.from({ length: directories }, (_, i) => ({ path: `/${layer}/d${i}`, type: "dir" as const })),
    { path: `/${layer}/names`, type: "dir" },
    ...longNames(names).map((name) => ({ path: `/${layer}/names/${name}`, body: "n" })),
  ];
}

/** The first blocks of all metadata but values. */
function metadataBlocks({ places, xattrBlocks }: DiskPlan): number[] {
  return [
    ...[...places.values()].flatMap((place) => [
      ...(place.dataBlockCount > 0 ? [place.dataBlock] : []),
      ...(place.extentBlockCount > 0 ? [place.extentBlock] : []),
    ]),
    ...xattrBlocks.map(({ blockNumber }) => blockNumber),
  ];
}

const FEW: readonly Needs[] = [
  { links: 3, names: 0, directories: 2 },
  { links: 2, names: 40, directories: 3 },
  { links: 10, names: 20, directories: 9 },
];
const MANY: readonly Needs[] = [
  { links: 60, names: 200, directories: 20 },
  { links: 40, names: 300, directories: 140 },
  { links: 50, names: 400, directories: 30 },
];
const AUTO: SizeRequest = { kind: "auto" };
/** So many that the bitmaps do not fit chunk 0. */
const MANY_GROUPS: SizeRequest = { kind: "total", sizeBytes: 64 * 128 * MIB };
/** As many as have their bitmaps in chunk 0, and leave nothing of it. */
const FULL_OF_BITMAPS: SizeRequest = { kind: "total", sizeBytes: 63 * 128 * MIB };

const layersOf = (needs: readonly Needs[]): RecipeEntry[][] =>
  needs.map((need, i) => layerOf("abc".charAt(i), need));

describeWith(["e2fsck"], "metadata", () => {
  test.each([
    ["all of it beside the superblock", FEW, AUTO, "all"],
    ["all of it in chunk 0, where no bitmaps are", FEW, MANY_GROUPS, "all"],
    ["none of it beside bitmaps that fill chunk 0", FEW, FULL_OF_BITMAPS, "none"],
    ["part of it beside the superblock, part behind the segments", MANY, AUTO, "part"],
    ["part of it in chunk 0, with bitmaps behind the tables", MANY, MANY_GROUPS, "part"],
  ] as const)("of several layers is right: %s", async (_, needs, sizeRequest, part) => {
    const layers = layersOf(needs);
    const disk = buildDiskImage(layers.map(recipeTar), { sizeRequest });
    const blocks = metadataBlocks(disk.plan);
    const inFirst = blocks.filter((block) => block < 128).length;
    expect(inFirst === 0 ? "none" : inFirst === blocks.length ? "all" : "part").toBe(part);
    await expectTree(disk, recipeTree(layers.flat()));
  });
});

describeWith(["e2fsck", "mount", "python3"], "metadata in both places", () => {
  test("is written to by the kernel", async () => {
    const script = `
for layer in "abc":
    for name in os.listdir(f"{top}/{layer}/names")[::2]: os.unlink(f"{top}/{layer}/names/{name}")
    for i in range(100): os.close(os.open(f"{top}/{layer}/names/new{i}" + "y" * 200, os.O_CREAT | os.O_EXCL))
    for i in range(0, 40, 2): os.unlink(f"{top}/{layer}/l{i}")
    os.setxattr(f"{top}/{layer}/same", "user.same", b"other" * 100)
    os.setxattr(f"{top}/{layer}/own", "user.large", b"o" * 10000)
print([len(os.listdir(f"{top}/{layer}/names")) for layer in "abc"])`;
    const disk = buildDiskImage(layersOf(MANY).map(recipeTar));
    expect(await inMount(disk, false, script)).toBe("[200, 250, 300]\n");
  });
});
