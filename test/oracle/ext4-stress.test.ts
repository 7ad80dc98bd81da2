// ⚡ uses: file system, process
/** The kernel writes to our disk images for a while; afterwards they are sound, and what it left alone is unchanged. */
import { readFileSync } from "node:fs";
import path from "node:path";

import { expect, test } from "vitest";

import { MIB } from "../../src/base/units.ts";
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import { COLLIDING_NAMES } from "../support/colliding-names.ts";
import { buildDiskImage } from "../support/disk-image.ts";
import { withDiskFile } from "../support/judge-disk.ts";
import { compareTrees, describeWith, fsck, run, walkTree, withMount } from "../support/judge.ts";
import { recipeTar, type RecipeEntry } from "../support/tree-recipe.ts";

const SEED = Number(process.env["STRESS_SEED"] ?? 1);
const STEPS = Number(process.env["STRESS_STEPS"] ?? 1500);
const SCRIPT = path.join(import.meta.dirname, "ext4-stress.py");

/** Files of every kind below `top`: such as share attributes, large values, links and holes. */
function mixed(top: string, count: number): RecipeEntry[] {
  const shared = { "user.a": "s".repeat(300), "user.b": "t" };
  const large = { "user.large": "l".repeat(20_000) };
  return [
    { path: top, type: "dir" },
    ...Array.from({ length: count }, (_, i): RecipeEntry => {
      const name = `${top}/f${i}`;
      if (i % 7 === 1) return { path: name, body: `${i}`.repeat(3000), xattrs: shared };
      if (i % 7 === 2) return { path: name, body: "v", xattrs: large };
      if (i % 7 === 3) return { path: name, type: "hardlink", target: `${top}/f${i - 1}` };
      if (i % 7 === 4) return { path: name, target: "t".repeat(i % 200) + "x", xattrs: { "trusted.a": "1" } };
      if (i % 7 === 5) return { path: name, body: "in the inode", xattrs: { "user.small": "s" } };
      if (i % 7 !== 6) return { path: name, body: "x".repeat((i * 997) % 20_000) };
      const parts = Array.from({ length: 7 }, (__, part) => ({ offset: part * 12_288, bytes: "p" }));
      return { path: name, sparse: { sizeBytes: 90_000, parts } };
    }),
  ];
}

/** A directory with an index. */
function indexed(top: string, count: number): RecipeEntry[] {
  const names = Array.from({ length: count }, (_, i) => `${"i".repeat(i % 230)}${i}`);
  return [{ path: top, type: "dir" }, ...names.map((name) => ({ path: `${top}/${name}` }))];
}

const SHAPES: readonly (readonly [string, readonly RecipeEntry[], SizeRequest])[] = [
  [
    "a small disk of one group",
    [...mixed("/keep", 60), ...mixed("/small", 60)],
    { kind: "total", sizeBytes: 24 * MIB },
  ],
  [
    "a disk with a short last group",
    [...mixed("/keep", 30), ...mixed("/mixed", 300), ...indexed("/indexed", 400)],
    { kind: "total", sizeBytes: 129 * MIB },
  ],
  [
    "large directories",
    [
      ...mixed("/keep", 30),
      ...indexed("/keep/indexed", 3000),
      ...indexed("/indexed", 12_000),
      { path: "/collide", type: "dir" },
      ...COLLIDING_NAMES.map((name) => ({ path: `/collide/${name}` })),
    ],
    { kind: "total", sizeBytes: 160 * MIB },
  ],
  [
    "several groups",
    [...mixed("/keep", 100), ...mixed("/mixed", 2000)],
    { kind: "free", sizeBytes: 200 * MIB },
  ],
];

/** Errors that the kernel has found on the file system mounted at `place`. */
async function errorCount(place: string): Promise<number> {
  const device = (await run("findmnt", ["--noheadings", "--output", "SOURCE", place])).trim();
  return Number(readFileSync(`/sys/fs/ext4/${path.basename(device)}/errors_count`, "utf8"));
}

/** As `fsck`, but the kernel may leave extent trees that e2fsck would make shorter: it proposes that, with status 0. */
async function expectSound(file: string): Promise<void> {
  const said = await run("e2fsck", ["-f", "-n", file]);
  const remarks = said
    .split("\n")
    .filter((line) => line !== "")
    .filter(
      (line) =>
        !/^Pass [1-5]: |extent tree \(at level \d\) could be (shorter|narrower)\. {2}Optimize\? no$/.test(
          line,
        ),
    );
  expect(remarks).toEqual([expect.stringMatching(/^lambda-img: \d+\/\d+ files /)]);
}

describeWith(["e2fsck", "mount", "python3"], `a disk image under load (STRESS_SEED=${SEED})`, () => {
  test.each(SHAPES)("stays sound: %s", async (_, entries, sizeRequest) => {
    await withDiskFile(buildDiskImage([recipeTar(entries)], { sizeRequest }), async (file) => {
      const [before, after] = await withMount(file, { readOnly: false }, async (place) => {
        const keep = path.join(place, "keep");
        const left = await walkTree(keep);
        const done = JSON.parse(await run("python3", [SCRIPT, place, `${SEED}`, `${STEPS}`])) as Record<
          string,
          number
        >;
        expect(Object.keys(done)).toEqual(
          expect.arrayContaining(["create", "set_xattr", "replace", "filled"]),
        );
        expect(await errorCount(place)).toBe(0);
        return [left, await walkTree(keep)];
      });
      await expectSound(file);
      const again = await withMount(file, { readOnly: true }, (place) => walkTree(path.join(place, "keep")));
      expect(compareTrees(before, after)).toEqual([]);
      expect(compareTrees(before, again)).toEqual([]);
    });
  });

  test("may be trimmed, and turned read-only", async () => {
    const entries = [...mixed("/keep", 100), ...mixed("/mixed", 100)];
    await withDiskFile(buildDiskImage([recipeTar(entries)]), async (file) => {
      await withMount(file, { readOnly: false }, async (place) => {
        const left = await walkTree(path.join(place, "keep"));
        await run("mount", ["-o", "remount,discard", place]);
        await run("rm", ["-r", path.join(place, "mixed")]);
        await run("sync", ["-f", place]);
        await run("fstrim", [place]);
        await run("mount", ["-o", "remount,ro", place]);
        await expect(run("touch", [path.join(place, "new")])).rejects.toThrow(/Read-only/);
        await run("mount", ["-o", "remount,rw", place]);
        await run("touch", [path.join(place, "new")]);
        expect(await errorCount(place)).toBe(0);
        expect(compareTrees(left, await walkTree(path.join(place, "keep")))).toEqual([]);
      });
      await fsck(file);
    });
  });

  test("lets every file of it be deleted", async () => {
    const entries = [...mixed("/mixed", 400), ...indexed("/indexed", 3000)];
    await withDiskFile(buildDiskImage([recipeTar(entries)]), async (file) => {
      await withMount(file, { readOnly: false }, async (place) => {
        await run("rm", ["-r", path.join(place, "mixed"), path.join(place, "indexed")]);
        expect(await errorCount(place)).toBe(0);
      });
      // What is left: the reserved inodes.
      expect(await fsck(file)).toMatch(/: 10\/\d+ files/);
    });
  });
});
