// Makes dist/ anew: the library with its types (tsc), and the program as a few files (esbuild). docs/decisions/0013-bundle.md.
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { build } from "esbuild";

const top = path.resolve(import.meta.dirname, "..");
/** What node is told to run: the command line, and what it starts in threads and processes of its own. */
const PROGRAMS = [
  "cli/main.ts",
  "convert/sealing-worker.ts",
  "layer/_layer-worker.ts",
  "verify/ext2fs-reader.ts",
];

// A file that no source has any more must not be packed.
rmSync(path.join(top, "dist"), { recursive: true, force: true });
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", "tsconfig.build.json"], { cwd: top, stdio: "inherit" });
await build({
  absWorkingDir: top,
  entryPoints: PROGRAMS.map((file) => `src/${file}`),
  // All in one directory: a file finds the program that it starts beside it, as in src/.
  outdir: "dist/program",
  entryNames: "[name]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.19",
  packages: "external",
  charset: "utf8",
  logLevel: "warning",
});
