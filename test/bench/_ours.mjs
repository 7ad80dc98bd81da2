// How the benchmarks call `lambda-img convert`.
import path from "node:path";

const TOP = path.resolve(import.meta.dirname, "../..");

/** The program, for `node`. */
export const PROGRAM = path.join(TOP, "bin/lambda-img");

/** A conversion into the store of a directory, with the key beside it. */
export function convertCommand(
  reference,
  directory,
  { nodeOptions = [], options = [], program = PROGRAM } = {},
) {
  const place = ["--store", path.join(directory, "store"), "--key", path.join(directory, "key.json")];
  return [
    process.execPath,
    ...nodeOptions,
    program,
    "convert",
    reference,
    "--name",
    "bench",
    "--quiet",
    ...place,
    ...options,
  ];
}
