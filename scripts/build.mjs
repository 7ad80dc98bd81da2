// Makes dist/ anew: the library with its types (tsc), and the program as a few files (esbuild). docs/decisions/0013-bundle.md.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { build } from "esbuild";

const top = path.resolve(import.meta.dirname, "..");
/** What node is told to run. Commands share files; a thread or a process of its own has one with all that it needs, which is loaded sooner. */
const PROGRAMS = [
  { entryPoints: ["src/cli/main.ts"], splitting: true, chunkNames: "[name]-[hash]" },
  {
    entryPoints: [
      "src/convert/sealing-worker.ts",
      "src/layer/_layer-worker.ts",
      "src/verify/ext2fs-reader.ts",
    ],
  },
];

// A file that no source has any more must not be packed.
rmSync(path.join(top, "dist"), { recursive: true, force: true });
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", "tsconfig.build.json"], { cwd: top, stdio: "inherit" });
for (const program of PROGRAMS) {
  await build({
    ...program,
    absWorkingDir: top,
    // All in one directory: a file finds the program that it starts beside it, as in src/.
    outdir: "dist/program",
    entryNames: "[name]",
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20.19",
    packages: "external",
    charset: "utf8",
    logLevel: "warning",
  });
}
