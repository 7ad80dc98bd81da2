/**
 * Stacks of layers, written by hand with their trees (test/tree/flatten.test.ts holds each to its tree), as one disk image
 * that the kernel mounts, and as umoci unpacks them: each stack lies in a directory of its own.
 */
import path from "node:path";

import { expect, test } from "vitest";

import { buildDiskImage } from "../support/disk-image.ts";
import { expectTree } from "../support/judge-disk.ts";
import { compareTrees, testWith, umociTree } from "../support/judge.ts";
import { entriesOf, type StackCase } from "../support/layer-rows.ts";
import { modelTree, tarOfEntries, type ModelEntry } from "../support/model-layers.ts";
import { temporaryDirectory, writeLayout } from "../support/oci-layout.ts";
import { STACK_CASES } from "./cases.ts";

/** The stacks side by side, each below the directory of its number. */
function together(stacks: readonly StackCase[]): ModelEntry[][] {
  const layerCount = Math.max(...stacks.map(({ layers }) => layers.length));
  return Array.from({ length: layerCount }, (_, layerIndex) =>
    stacks.flatMap(({ layers }, stackIndex) => {
      const below = (name: string): string => `stack${stackIndex}/${name}`;
      return entriesOf(layers[layerIndex] ?? [], layerIndex).map((entry) => ({
        ...entry,
        path: below(entry.path),
        ...(entry.type === "hardlink" && { target: below(entry.target ?? "") }),
      }));
    }),
  );
}

testWith(
  ["e2fsck"],
  "the disk image of all stacks is what the model says, for each reader of it",
  async () => {
    const layers = together(STACK_CASES);
    await expectTree(buildDiskImage(layers.map(tarOfEntries)), modelTree(layers));
  },
);

testWith(["root", "umoci", "python3"], "umoci unpacks the same, but for what the table excepts", async () => {
  const layers = together(STACK_CASES.filter(({ umoci }) => umoci === undefined));
  const folder = temporaryDirectory();
  try {
    const image = { layers: layers.map((layer) => ({ tar: tarOfEntries(layer) })), tag: "stacks" };
    const found = await umociTree(writeLayout(path.join(folder.path, "layout"), [image]), "stacks");
    const directories = new Set(found.filter(({ type }) => type === "dir").map((entry) => entry.path));
    const differences = compareTrees(modelTree(layers), found, {
      // docs/fidelity.md, "Directories without an entry": umoci leaves them the time at which it wrote into them.
      overlook: (aspect, place) => aspect === "nlink" || (aspect === "mtime" && directories.has(place)),
    });
    expect(differences).toEqual([]);
  } finally {
    folder.remove();
  }
});

test("each exception has its reason", () => {
  for (const { umoci } of STACK_CASES) expect(umoci ?? "a reason").toMatch(/\w/);
});
