// The image of the benchmarks that are given none: parts of this machine's /usr, one gzip layer.
import { existsSync } from "node:fs";
import path from "node:path";

import { layersOf, makeLayer, run, writeLayout } from "./_layout.mjs";

const FOLDERS = ["bin", "share/doc", "lib/python3", "share/man", "share/locale", "lib/gcc", "include", "lib"];
const LARGE_FOLDERS = [
  ...FOLDERS.filter((name) => name !== "lib"),
  "lib/x86_64-linux-gnu",
  "lib/aarch64-linux-gnu",
  "lib/jvm",
  "lib/go",
  "lib/rustlib",
  "libexec",
  "local",
];

/**
 * Makes the image below `directory`: folders in the order above, while they have no more than 400 MB, or 2000 for a large one. Gives
 * its layout.
 */
export async function makeImage(directory, { isLarge = false } = {}) {
  const folders = isLarge ? LARGE_FOLDERS : FOLDERS;
  const limitMegabytes = isLarge ? 2000 : 400;
  let usedMegabytes = 0;
  const taken = folders
    .filter((name) => existsSync(path.join("/usr", name)))
    .filter((name) => {
      const megabytes = Number(run("du", ["-sm", path.join("/usr", name)]).split(/\s/)[0]);
      if (usedMegabytes + megabytes > limitMegabytes && usedMegabytes > 0) return false;
      usedMegabytes += megabytes;
      return true;
    });
  const layer = await makeLayer("/usr", path.join(directory, "layers"), taken);
  const layout = path.join(directory, "oci");
  writeLayout(layout, [layer]);
  return layout;
}

/** What a record says of its image: layers, and their bytes as stored. */
export function describeImage(layout) {
  const layers = layersOf(layout);
  return {
    layerCount: layers.length,
    storedBytes: layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}
