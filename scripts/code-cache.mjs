/**
 * Keeps what V8 compiles of dist/program/main.js beside it (docs/decisions/0018-code-cache.md): runs the program once in this process,
 * with the sample image, as its users would.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const top = path.resolve(import.meta.dirname, "..");
const { loadProgram } = createRequire(import.meta.url)("../dist/program/load-program.js");
const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-build-"));
const common = ["--store", path.join(folder, "store"), "--key", path.join(folder, "key.json"), "--quiet"];
const sample = `oci:${path.join(top, "fixtures/images/sample")}`;
const RUNS = [
  ["convert", sample, "--name", "sample", "--size", "64M"],
  ["convert", sample, "--name", "sample", "--size", "64M"],
  ["inspect", "sample"],
  ["ls", "-R", "-l", "sample"],
  ["export", "sample", "--output", path.join(folder, "disk.ext4")],
];

process.stdout.write = () => true;
try {
  const program = loadProgram(path.join(top, "dist/program/main.js"));
  for (const words of RUNS) {
    const status = await program.exports.main([...words, ...common], "0");
    if (status !== 0) throw new Error(`lambda-img ${words.join(" ")}: status ${status}`);
  }
  program.keepCode();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
