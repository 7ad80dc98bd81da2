/** Images of a recipe are what the recipe says, to tar and gzip as well, and the same each time. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { afterAll, describe, expect, test } from "vitest";

import { describeWith, run, testWith } from "../support/judge.ts";
import {
  makeSynthetic,
  recipeOfBytes,
  recipeOfFiles,
  tarOf,
  UNIT_BYTES,
  type Recipe,
} from "./_synthetic.mjs";

const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-synthetic-"));
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

function tarBytes(recipe: Recipe, layer = 0): Buffer {
  return Buffer.concat([...tarOf(recipe.layers[layer]!)]);
}

/** What GNU tar lists: sizes of regular files, in order. */
async function listedSizes(tar: Buffer): Promise<number[]> {
  const file = path.join(work, "listed.tar");
  writeFileSync(file, tar);
  const listing = await run("tar", ["--list", "--verbose", "--numeric-owner", "--file", file]);
  const files = listing.split("\n").filter((line) => line.startsWith("-"));
  return files.map((line) => Number(/^\S+\s+\S+\s+(\d+)/.exec(line)?.[1]));
}

describeWith(["tar"], "GNU tar finds in an image", () => {
  const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);

  test.each([
    ["of two units", recipeOfBytes(2 * UNIT_BYTES)],
    ["of 1,234 files", recipeOfFiles(1234)],
  ])("%s the files and bytes that the recipe states", async (_, recipe) => {
    const sizes = await listedSizes(tarBytes(recipe));
    expect(sizes).toHaveLength(recipe.fileCount);
    expect(sum(sizes)).toBe(recipe.sizeBytes);
  });

  test("of several layers the same files as in one", async () => {
    const recipe = recipeOfBytes(5 * UNIT_BYTES, 2);
    const [first, second] = [await listedSizes(tarBytes(recipe, 0)), await listedSizes(tarBytes(recipe, 1))];
    expect(first.length + second.length).toBe(recipe.fileCount);
    expect(sum(first) + sum(second)).toBe(recipe.sizeBytes);
    expect(sum(first)).toBe(3 * UNIT_BYTES);
  });
});

describe("content", () => {
  test("is the same each time", () => {
    const digest = (): string =>
      createHash("sha256")
        .update(tarBytes(recipeOfBytes(UNIT_BYTES)))
        .digest("hex");
    expect(digest()).toBe(digest());
  });

  test("of one layer is in no other, so that nothing is shared by chance", () => {
    const recipe = recipeOfBytes(4 * UNIT_BYTES, 2);
    const [first, second] = [0, 1].map((layer) => {
      const tar = tarBytes(recipe, layer);
      return new Set(
        Array.from({ length: tar.length / 512 }, (_, index) =>
          tar.toString("latin1", index * 512, index * 512 + 512),
        ),
      );
    });
    const shared = [...first!].filter((block) => second!.has(block));
    const zeros = "\0".repeat(512);
    // Of the headers, that of the directory which all units are in.
    expect(shared.filter((block) => block !== zeros && !block.startsWith("units/\0"))).toEqual([]);
  });

  test("is neither noise nor monotony: gzip makes it smaller, but no quarter of it", () => {
    const tar = tarBytes(recipeOfBytes(4 * UNIT_BYTES));
    const share = gzipSync(tar).length / tar.length;
    expect(share).toBeGreaterThan(0.25);
    expect(share).toBeLessThan(0.75);
  });
});

test("bytes are rounded to whole units, one a layer at least", () => {
  expect(recipeOfBytes(1).sizeBytes).toBe(UNIT_BYTES);
  expect(recipeOfBytes(1, 3).sizeBytes).toBe(3 * UNIT_BYTES);
  expect(recipeOfBytes(2.4 * UNIT_BYTES).sizeBytes).toBe(2 * UNIT_BYTES);
});

testWith(["skopeo"], "skopeo takes the layout: all digests and diff IDs are right", async () => {
  const { layout, storedBytes } = await makeSynthetic(recipeOfFiles(200), work);
  expect(storedBytes).toBeGreaterThan(0);
  const target = path.join(work, "copy.tar");
  await run("skopeo", ["copy", "--quiet", `oci:${layout}:latest`, `docker-archive:${target}:bench:latest`]);
  const members = await run("tar", ["--list", "--file", target]);
  expect(members).toContain("manifest.json");
});
