// `npm run bench:start`: what the program takes to start, beside what Node takes by itself.
import path from "node:path";

import { showNumber, showSpread, summarizeRatios } from "./_figures.mjs";
import { describeMachine, measure, summarizeCosts } from "./_measure.mjs";
import { countOf, keepResult, readOptions } from "./_options.mjs";

const USAGE = `usage: npm run bench:start -- [--runs N] [--json FILE]

CPU time of \`node -e 0\`, of the program's --version and --help, and of a conversion that fails at once, turn by turn after one
to warm up. NODE_OPTIONS and NODE_EXTRA_CA_CERTS are left out.

  --runs N      turns that count (default: 41)
  --json FILE   write the figures there, too
`;

const PROGRAM = path.resolve(import.meta.dirname, "../../bin/lambda-img");
/** measure() takes nothing that fails. */
const EVEN_IF_IT_FAILS = ["sh", "-c", '"$0" "$@" || true'];
const ROWS = {
  "node -e 0": [process.execPath, "-e", "0"],
  "lambda-img --version": [process.execPath, PROGRAM, "--version"],
  "lambda-img --help": [process.execPath, PROGRAM, "--help"],
  "lambda-img convert --help": [process.execPath, PROGRAM, "convert", "--help"],
  "lambda-img convert oci:/nonexistent": EVEN_IF_IT_FAILS.concat(
    process.execPath,
    PROGRAM,
    "convert",
    "oci:/nonexistent",
  ),
};

const values = readOptions(
  USAGE,
  { runs: { type: "string", default: "41" }, json: { type: "string" } },
  ({ runs }) => (countOf(runs) === undefined ? "--runs: expected a whole number above zero" : undefined),
);
const runCount = countOf(values.runs);
const costs = new Map(Object.keys(ROWS).map((name) => [name, []]));
for (let turn = -1; turn < runCount; turn++) {
  for (const [name, command] of Object.entries(ROWS)) {
    const cost = await measure(command);
    if (turn >= 0) costs.get(name).push(cost);
  }
}

const cpuSeconds = (name) =>
  costs.get(name).map(({ userSeconds, systemSeconds }) => userSeconds + systemSeconds);
const [base] = costs.keys();
const rows = [...costs].map(([name, all]) => ({
  name,
  ...summarizeCosts(all),
  ratio: summarizeRatios(cpuSeconds(name), cpuSeconds(base)),
}));
console.log(`machine: ${describeMachine()}\n${runCount} turns\n`);
for (const { name, cpuSeconds: cpu, ratio } of rows) {
  console.log(`${name.padEnd(36)} ${showSpread(cpu)} s of CPU, ${showNumber(ratio.median)} of ${base}`);
}
keepResult("start", { machine: describeMachine(), runCount, rows }, { json: values.json, record: false });
