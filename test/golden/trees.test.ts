// ⚡ uses: file system
/**
 * Disk images of trees in fixtures/trees, by their digests: the bytes must not change unless the layout's version
 * does. Where a digest differs, the message has both; docs/testing.md, "Golden disk images", says how to review it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { describe, expect, test } from "vitest";

import { buildDiskImage, diskDigestOf, type DiskImage } from "../support/disk-image.ts";
import { codeOf, withDiskFile } from "../support/judge-disk.ts";
import { fsck, testWith } from "../support/judge.ts";
import { parseTreeDump } from "../support/tree-dump.ts";
import { recipeTar } from "../support/tree-recipe.ts";

const FOLDER = path.resolve(import.meta.dirname, "../../fixtures/trees");
const FILES = readdirSync(FOLDER).sort((left, right) => (left < right ? -1 : 1));
const DUMPS = FILES.filter((file) => file.endsWith(".dump"));

function build(file: string): DiskImage {
  const { layers, sizeRequest } = parseTreeDump(readFileSync(path.join(FOLDER, file), "latin1"));
  return buildDiskImage(
    layers.map((entries) => recipeTar(entries)),
    { sizeRequest },
  );
}

describe.each(DUMPS.filter((file) => !file.startsWith("should-fail-")))("the tree %s", (file) => {
  const golden = path.join(FOLDER, file.replace(/\.dump$/, ".digest"));

  test("gives the disk image that it gave", () => {
    const expected = existsSync(golden) ? readFileSync(golden, "utf8").trim() : "no digest";
    expect(`${file} ${diskDigestOf(build(file))}`).toBe(`${file} ${expected}`);
  });

  testWith(["e2fsck"], "gives a disk image that is sound", async () => {
    await withDiskFile(build(file), fsck);
  });
});

test.each(DUMPS.filter((file) => file.startsWith("should-fail-")))("the tree %s is refused", (file) => {
  const { code } = parseTreeDump(readFileSync(path.join(FOLDER, file), "latin1"));
  expect(code).toBeDefined();
  expect(codeOf(() => build(file))).toBe(code);
});

test("each digest has its tree", () => {
  const alone = FILES.filter(
    (file) => file.endsWith(".digest") && !FILES.includes(file.replace(/digest$/, "dump")),
  );
  expect(alone).toEqual([]);
});
