// ⚡ uses: file system, process, Buffer
/** Has a disk image judged by everybody: e2fsck, our own reader, and the kernel where it can be mounted. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { expect } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import {
  writeDiskImage,
  sourceOf,
  buildDiskImage,
  type DiskImage,
  type DiskImageOptions,
} from "./disk-image.ts";
import { compareTrees, fsck, run, tools, walkTree, withMount } from "./judge.ts";
import type { ExpectedEntry, JudgedEntry } from "./judged-tree.ts";
import { recipeTar, recipeTree, type RecipeEntry } from "./tree-recipe.ts";

/** Writes the disk image to a file that is there while `use` runs. */
export async function withDiskFile<T>(disk: DiskImage, use: (file: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-disk-"));
  try {
    const file = path.join(folder, "disk.ext4");
    writeDiskImage(disk, file);
    return await use(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** e2fsck is silent, and each reader of the disk image finds the expected tree. */
export async function expectTree(disk: DiskImage, expected: readonly ExpectedEntry[]): Promise<void> {
  const options = { isImpliedStrict: true, isLostFoundStrict: true };
  expect(compareTrees(expected, await readerTree(disk), options).slice(0, 20)).toEqual([]);
  await withDiskFile(disk, async (file) => {
    await fsck(file);
    if (!tools.mount || !tools.python3) return;
    const found = await withMount(file, { readOnly: true }, walkTree);
    expect(compareTrees(expected, found, options).slice(0, 20)).toEqual([]);
    // Reading has changed nothing.
    await fsck(file);
  });
}

/** Builds a disk image of one layer and has it judged. */
export async function expectRecipe(
  entries: readonly RecipeEntry[],
  options: DiskImageOptions = {},
): Promise<DiskImage> {
  const disk = buildDiskImage([recipeTar(entries)], options);
  await expectTree(disk, recipeTree(entries));
  return disk;
}

/** The tree as Ext4Reader finds it. */
export async function readerTree(disk: DiskImage): Promise<JudgedEntry[]> {
  const reader = await Ext4Reader.open(sourceOf(disk));
  const found: (JudgedEntry & { inodeNumber: number })[] = [];
  const pathCounts = new Map<number, number>();
  const digests = new Map<number, string>();
  for await (const { path: name, inode, inodeNumber } of reader.walk()) {
    if (inode.type !== "dir") pathCounts.set(inodeNumber, (pathCounts.get(inodeNumber) ?? 0) + 1);
    const { type, mode, uid, gid } = inode;
    const xattrs = [...(await reader.readXattrs(inode))].map(
      ([key, value]) => [key, Buffer.from(value).toString("base64")] as const,
    );
    if (type === "file" && !digests.has(inodeNumber)) {
      const hash = createHash("sha256");
      for await (const piece of reader.readFile(inode)) hash.update(piece);
      digests.set(inodeNumber, hash.digest("hex"));
    }
    found.push({
      path: name,
      type,
      mode,
      uid,
      gid,
      mtime: [inode.mtime.seconds, inode.mtime.nanoseconds],
      nlink: inode.linkCount,
      xattrs: Object.fromEntries(xattrs),
      ...(type === "file" ? { size: inode.sizeBytes, sha256: digests.get(inodeNumber) ?? "" } : {}),
      ...(type === "symlink" ? { target: await reader.readLink(inode) } : {}),
      ...(type === "char" || type === "block"
        ? { rdev: [inode.deviceMajor, inode.deviceMinor] as const }
        : {}),
      inodeNumber,
    });
  }
  return found.map(({ inodeNumber, ...entry }) =>
    (pathCounts.get(inodeNumber) ?? 0) > 1 ? { ...entry, link: inodeNumber } : entry,
  );
}

/** The code of the error that the work throws. */
export function codeOf(work: () => unknown): string {
  try {
    work();
    return "none";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

/** Runs Python in the disk image, mounted; `script` finds its directory in `top`. Gives what it prints. */
export async function inMount(disk: DiskImage, readOnly: boolean, script: string): Promise<string> {
  return withDiskFile(disk, async (file) => {
    const program = `import os, sys, json, errno\ntop = sys.argv[1]\n${script}`;
    const printed = await withMount(file, { readOnly }, (place) => run("python3", ["-c", program, place]));
    await fsck(file);
    return printed;
  });
}
