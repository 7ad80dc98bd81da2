// Images of real programs for `npm run bench:device`: Debian with one program each, made by mmdebstrap.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";

import { whyNoDebs } from "./_debs.mjs";
import { makeLayer, run, writeLayout } from "./_layout.mjs";

/** Programs: the packages beyond a base system that they need, and a command that says something once it is ready. */
export const PROGRAMS = {
  bash: { packages: [], command: ["bash", "-c", "echo ready"] },
  python: {
    packages: ["python3", "python3-numpy"],
    command: ["python3", "-c", "import numpy; print(numpy.__version__)"],
  },
  node: { packages: ["nodejs"], command: ["node", "-e", "console.log(process.version)"] },
  java: { packages: ["default-jre-headless"], command: ["java", "-version"] },
};

/** What this machine lacks to make the images, in words; `undefined` where nothing. */
export function whyNoImages() {
  return whyNoDebs();
}

/** The layout of a program's image, `directory/NAME/oci`; one that is there is taken as it is. */
export async function makeProgramImage(name, directory) {
  const layout = path.join(directory, name, "oci");
  if (existsSync(path.join(layout, "index.json"))) return layout;
  const tree = path.join(directory, name, "tree");
  const pool = path.join(directory, name, "layers");
  mkdirSync(path.dirname(tree), { recursive: true });
  bootstrap(tree, PROGRAMS[name].packages);
  writeLayout(layout, [await makeLayer(tree, pool)]);
  rmSync(tree, { recursive: true });
  rmSync(pool, { recursive: true });
  return layout;
}

/** A Debian of this machine's suite, as its packages install it; what a download leaves is removed by mmdebstrap. */
function bootstrap(directory, packages) {
  const release = run("sh", ["-c", '. /etc/os-release && echo "$VERSION_CODENAME"']).trim();
  const sources = "/etc/apt/sources.list.d/debian.sources";
  const options = [
    "--variant=minbase",
    "--quiet",
    "--dpkgopt=force-unsafe-io",
    '--aptopt=APT::Install-Recommends "false"',
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    `--include=${["usr-is-merged", ...packages].join(",")}`,
  ];
  run("mmdebstrap", [...options, release, directory, ...(existsSync(sources) ? [sources] : [])], {
    env: { ...process.env, LC_ALL: "C.UTF-8" },
  });
}
