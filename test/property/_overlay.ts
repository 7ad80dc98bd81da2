/** What a container engine on overlayfs shows of a stack: each layer is unpacked by itself, and the kernel stacks them. */
import { lstatSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { run, walkTree, type JudgedEntry } from "../support/judge.ts";
import { modelTree, tarOfEntries } from "../support/model-layers.ts";
import type { Layer } from "./_stacks.ts";

const OPAQUE = ".wh..wh..opq";

/** True where overlayfs can be mounted. */
export async function canOverlay(): Promise<boolean> {
  try {
    await overlayTree([[{ path: "a", type: "file" }], [{ path: ".wh.a", type: "file" }]]);
    return true;
  } catch {
    return false; // Whatever of it fails, there is no such judge here.
  }
}

/** The tree that the kernel shows. No entry has a symlink above it, or a path that its layer has twice. */
export async function overlayTree(layers: readonly Layer[]): Promise<JudgedEntry[]> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-overlay-"));
  const place = path.join(folder, "place");
  mkdirSync(place);
  try {
    const empty = path.join(folder, "empty");
    mkdirSync(empty);
    let lower = [empty];
    for (const [index, layer] of layers.entries()) {
      // The kernel looks for no marker on the root directory of a layer: nothing is put below this one.
      if (layer.some((entry) => entry.path === OPAQUE)) lower = [empty];
      lower.unshift(await unpackLayer(path.join(folder, `${index}`), layer, layers.slice(0, index)));
    }
    await run("mount", ["-t", "overlay", "-o", `ro,lowerdir=${lower.join(":")}`, "overlay", place]);
    try {
      return await walkTree(place);
    } finally {
      await run("umount", [place]);
    }
  } finally {
    await run("rm", ["-r", "-f", "--", folder]);
  }
}

async function unpackLayer(directory: string, layer: Layer, below: readonly Layer[]): Promise<string> {
  mkdirSync(directory);
  const tar = `${directory}.tar`;
  writeFileSync(tar, tarOfEntries(layer.filter(({ path: name }) => !name.includes(".wh."))));
  const options = ["-p", "--numeric-owner", "--xattrs", "--xattrs-include=*"];
  await run("tar", ["-C", directory, ...options, "-xf", tar]);
  const directories = new Set(
    modelTree(below)
      .filter(({ type }) => type === "dir")
      .map((entry) => entry.path),
  );
  const whiteouts = layer
    .map(({ path: name }) => name)
    .filter((name) => name.includes(".wh.") && directories.has(path.posix.join("/", name, "..")))
    // Nothing is left to hide there, and the kernel lists the whiteouts of directories that it merges with none.
    .filter((name) => !isBelowHidden(name, layer))
    // Shallow ones first, names before opaque markers: what makes directories here must not look like an entry.
    .sort((left, right) => depth(left) - depth(right));
  for (const name of whiteouts) await convertWhiteout(directory, name);
  return directory;
}

/** Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". */
async function convertWhiteout(directory: string, name: string): Promise<void> {
  const parent = path.join(directory, path.dirname(name));
  try {
    mkdirSync(parent, { recursive: true });
  } catch {
    return; // Something of this layer hides the directory already.
  }
  const base = path.basename(name);
  if (base === OPAQUE) {
    await run("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", parent]);
    return;
  }
  const hidden = path.join(parent, base.slice(".wh.".length));
  const status = lstatSync(hidden, { throwIfNoEntry: false });
  if (status === undefined) await run("mknod", [hidden, "c", "0", "0"]);
  else if (status.isDirectory()) await run("setfattr", ["-n", "trusted.overlay.opaque", "-v", "y", hidden]);
}

/** Whether the layer hides all that layers below have in a directory on the way to the name. */
function isBelowHidden(name: string, layer: Layer): boolean {
  return layer.some(({ path: marker }) => {
    const base = path.posix.basename(marker);
    if (!base.startsWith(".wh.") || marker === name) return false;
    const hidden = path.posix.join("/", marker, "..", base === OPAQUE ? "." : base.slice(".wh.".length));
    return path.posix.join("/", name).startsWith(path.posix.join(hidden, "/"));
  });
}

function depth(name: string): number {
  return name.split("/").length * 2 + (name.endsWith(OPAQUE) ? 1 : 0);
}
