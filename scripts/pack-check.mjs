/** Packs the package, installs the tarball into an empty folder, and runs it from there. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

const top = path.resolve(import.meta.dirname, "..");
const { name, version } = JSON.parse(readFileSync(path.join(top, "package.json"), "utf8"));
const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-pack-"));
try {
  const tarball = pack();
  const home = install(tarball);
  const shown = run(path.join(home, "node_modules", ".bin", "lambda-img"), ["--version"], home).trim();
  if (!shown.split(/\s+/).includes(version)) fail(`--version: expected ${version}, found ${shown}`);
  // Without compiled code, which is not packed.
  const sample = path.join(home, "node_modules", name, "fixtures/images/sample");
  run(path.join(home, "node_modules", ".bin", "lambda-img"), ["convert", "--dry-run", `oci:${sample}`], home);
  const program = `const names = Object.keys(await import(${JSON.stringify(name)})); console.log(names.length);`;
  const count = Number(run(process.execPath, ["--input-type=module", "--eval", program], home));
  if (!(count > 0)) fail("the library exports nothing");
  console.log(`${path.basename(tarball)}: installs, runs, and exports ${count} names`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function pack() {
  run("npm", ["run", "--silent", "build"], top);
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], top));
  const paths = packed.files.map((file) => file.path);
  const stray = paths.filter((file) => /^(src|test|scripts|\.ci)\/|\.cache$/.test(file));
  if (stray.length > 0) fail(`does not belong into the package: ${stray.join(", ")}`);
  for (const needed of [
    ...[
      "bin/lambda-img",
      "dist/program/_zstd-library.js",
      "dist/program/commander.LICENSE",
      "dist/program/load-program.js",
      "dist/program/main.js",
      "dist/index.js",
      "dist/index.d.ts",
    ],
    ...["README.md", "LICENSE"],
  ]) {
    if (!paths.includes(needed)) fail(`not in the package: ${needed}`);
  }
  return path.join(folder, packed.filename);
}

function install(tarball) {
  const home = mkdtempSync(path.join(folder, "home-"));
  writeFileSync(path.join(home, "package.json"), '{ "private": true }\n');
  run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--omit=dev", tarball], home);
  return home;
}

function run(program, args, cwd) {
  return execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

function fail(message) {
  throw new Error(message);
}
