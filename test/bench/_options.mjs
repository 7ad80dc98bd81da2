// Options and records of the benchmarks: the same words everywhere.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";

import { drawAll } from "./_drawings.mjs";

const TOP = path.resolve(import.meta.dirname, "../..");

/** Where recorded figures, their plots and their page lie. */
export const RECORDS = path.join(TOP, "docs/benchmarks");

/**
 * The options of a script. `--help` prints its usage and ends it; what it does not know ends it with status 2, and so does
 * `check`, which gives a complaint or nothing.
 */
export function readOptions(usage, options, check = () => undefined) {
  const complain = (why) => {
    process.stderr.write(`${why}\n\n${usage}`);
    process.exit(2);
  };
  try {
    const help = { type: "boolean", short: "h", default: false };
    const { values } = parseArgs({ options: { ...options, help } });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    const fault = check(values);
    return fault === undefined ? values : complain(fault);
  } catch (error) {
    if (!String(error.code).startsWith("ERR_PARSE_ARGS")) throw error;
    return complain(error.message);
  }
}

/** A whole number above zero, from an option; `undefined` where it is none. */
export function countOf(text) {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}

/** Numbers above zero, separated by commas; `undefined` where one is none. */
export function numbersOf(text) {
  const numbers = text.split(",").map(Number);
  return numbers.every((number) => Number.isFinite(number) && number > 0) ? numbers : undefined;
}

/** Writes a result where the options say: `--json FILE`, and with `--record` among the records, which are drawn anew. */
export function keepResult(name, result, { json, record }) {
  const text = `${JSON.stringify(result, null, 2)}\n`;
  if (json !== undefined) writeFileSync(json, text);
  if (!record) return;
  mkdirSync(RECORDS, { recursive: true });
  writeFileSync(path.join(RECORDS, `${name}.json`), text);
  drawAll(RECORDS);
}
