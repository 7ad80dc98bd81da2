// Makes dist/ anew: the library with its types (tsc), the program as a few files (esbuild), and what V8 compiles of it.
// docs/decisions/0013-bundle.md, 0018-code-cache.md and 0019-commander-is-bundled.md.
import { execFileSync } from "node:child_process";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { build } from "esbuild";

const top = path.resolve(import.meta.dirname, "..");
/** What node is told to run: each is one file with all that it needs, since every file more takes time to load. */
const PROGRAMS = [
  "src/cli/load-program.ts",
  "src/cli/main.ts",
  "src/convert/sealing-worker.ts",
  "src/layer/_layer-worker.ts",
  "src/verify/ext2fs-reader.ts",
];

// A file that no source has any more must not be packed.
rmSync(path.join(top, "dist"), { recursive: true, force: true });
const { resolve } = createRequire(import.meta.url);
const tsc = resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", "tsconfig.build.json"], { cwd: top, stdio: "inherit" });
const options = {
  absWorkingDir: top,
  // All in one directory: a file finds the program that it starts beside it, as in src/.
  outdir: "dist/program",
  entryNames: "[name]",
  bundle: true,
  // Node's loader of modules takes longer.
  format: "cjs",
  define: { "import.meta.url": "programUrl" },
  banner: { js: 'const programUrl = require("node:url").pathToFileURL(__filename).href;' },
  platform: "node",
  target: "node20.19",
  // Every command needs commander; few need these.
  external: ["ext2fs", "zstddec"],
  charset: "ascii",
  logLevel: "warning",
};
/** Leaves what has to import a module to Node. */
const apart = {
  name: "apart",
  setup: ({ onResolve }) =>
    onResolve({ filter: /\/_zstd-library\.ts$/ }, () => ({ path: "./_zstd-library.js", external: true })),
};
// With compiled code, V8 has nobody to ask for a module: all is required.
await build({ ...options, entryPoints: PROGRAMS, plugins: [apart], supported: { "dynamic-import": false } });
await build({ ...options, entryPoints: ["src/oci/_zstd-library.ts"] });
writeFileSync(path.join(top, "dist/program/package.json"), '{ "type": "commonjs" }\n');
// Who gives away a copy of it gives this with it.
copyFileSync(
  path.join(path.dirname(resolve("commander")), "LICENSE"),
  path.join(top, "dist/program/commander.LICENSE"),
);
try {
  // In a process of its own, started as the program is.
  execFileSync(process.execPath, [path.join(top, "scripts/code-cache.mjs")], { cwd: top, stdio: "inherit" });
} catch (error) {
  // Where nothing can be converted, for want of room or of memory, the program is whole all the same.
  console.error(`build: the program will compile itself at each start: ${error.message}`);
}
