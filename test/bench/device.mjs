// `npm run bench:device`: images as devices. How fast reads are beside other NBD servers, and how soon programs start while
// the store is behind a delay.
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { makeProgramImage, PROGRAMS, whyNoImages } from "./_device-images.mjs";
import * as servers from "./_device-servers.mjs";
import * as starts from "./_device-starts.mjs";
import { showNumber, showSpread, summarize, summarizeRatios } from "./_figures.mjs";
import { describeImage, makeImage } from "./_image.mjs";
import { isInstalled, nameOf, run } from "./_layout.mjs";
import { describeMachine } from "./_measure.mjs";
import { countOf, keepResult, readOptions } from "./_options.mjs";
import { convertCommand, PROGRAM } from "./_ours.mjs";

const USAGE = `usage: npm run bench:device -- [--part rates|starts] [--image LAYOUT] [--seconds N]
                              [--programs NAME,...] [--images DIRECTORY] [--delay MS]
                              [--runs N] [--json FILE] [--record]

Rates: lambda-img serve with a warm memory tier, nbdkit's file plugin and qemu-nbd on the same disk image in the page
cache, read by nbdcopy and by fio's nbd engine, turn by turn. Medians, least and greatest, and ours / nbdkit of each turn.

Starts: Debian images with one program each, mounted by lambda-img mount, every file of the store that is read DELAY late.
The delay is made in the server's process, by a module of this benchmark that waits before it opens a file of the store.
What a start costs: seconds until it is mounted and until the program has ended; chunks asked of the store; beside the
start without delay, pulling and unpacking everything, and, if the program has --record, a start that replays a trace.

  --part NAME     one of the two alone
  --image LAYOUT  what rates are measured on; without it, up to 400 MB of this machine's /usr
  --seconds N     of each fio run (default: 5)
  --programs ...  of ${Object.keys(PROGRAMS).join(", ")} (default: all)
  --images DIR    keep the programs' images there, and take those that are there
  --delay MS      of the store (default: 30)
  --runs N        turns that count (default: 5); starts and rates have one before to warm up
  --json FILE     write the figures there, too
  --record        keep them in docs/benchmarks
`;

const values = readOptions(
  USAGE,
  {
    part: { type: "string" },
    image: { type: "string" },
    seconds: { type: "string", default: "5" },
    programs: { type: "string", default: Object.keys(PROGRAMS).join(",") },
    images: { type: "string" },
    delay: { type: "string", default: "30" },
    runs: { type: "string", default: "5" },
    json: { type: "string" },
    record: { type: "boolean", default: false },
  },
  ({ part, seconds, programs, delay, runs }) => {
    if (![undefined, "rates", "starts"].includes(part)) return "--part: expected rates or starts";
    for (const [name, text] of Object.entries({ seconds, delay, runs }))
      if (countOf(text) === undefined) return `--${name}: expected a whole number above zero`;
    const unknown = programs.split(",").filter((name) => !Object.hasOwn(PROGRAMS, name));
    return unknown.length > 0 ? `--programs: there is no ${unknown.join(", ")}` : undefined;
  },
);
const runCount = countOf(values.runs);
const delayMs = countOf(values.delay);
const KIND_NAMES = {
  cold: `store ${delayMs} ms away`,
  replayed: `store ${delayMs} ms away, trace replayed`,
  near: "store without delay",
  pulled: "pulled, unpacked",
};
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-device-"));

try {
  const result = { machine: describeMachine(), versions: listVersions(), runs: runCount };
  console.log(`machine: ${result.machine}\nbeside: ${result.versions.join("; ")}\n`);
  if (values.part !== "starts") result.rates = await benchRates();
  if (values.part !== "rates") result.starts = await benchStarts();
  keepResult("device", result, values);
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function benchRates() {
  const missing = servers.missingPrograms();
  if (missing.length > 0) {
    console.log(`left out: rates (need ${missing.join(", ")})`);
    return undefined;
  }
  const directory = path.join(work, "rates");
  mkdirSync(directory);
  const layout = values.image === undefined ? await makeImage(directory) : path.resolve(values.image);
  const { disk, chunks } = convert(layout, directory);
  const sizeBytes = statSync(disk).size;
  const share = 1 - chunks.zero / chunks.total;
  console.log(
    `rates: disk of ${showNumber(sizeBytes / 1e6)} MB, ${showNumber(100 * share)} % of it chunks; ${runCount} turns\n`,
  );
  const running = await servers.startServers(directory, disk);
  try {
    const options = { sizeBytes, seconds: countOf(values.seconds) };
    const measurements = servers.listMeasurements(directory, options).map((each) => ({
      ...each,
      rates: new Map(running.servers.map(({ name }) => [name, []])),
    }));
    // The first turn fills the memory tier and the page cache.
    for (let turn = 0; turn <= runCount; turn++) {
      for (const { take, rates } of measurements) {
        for (const server of running.servers) {
          const rate = take(server);
          if (turn > 0) rates.get(server.name).push(rate);
        }
      }
    }
    const rows = measurements.map(rowOf);
    for (const row of rows) printRates(row);
    return { image: { ...describeImage(layout), sizeBytes, chunks }, seconds: options.seconds, rows };
  } finally {
    running.stop();
  }
}

/** Converts into a store in `directory`, and exports the disk image beside it. Room that is free would be zeros to read. */
function convert(layout, directory) {
  const options = ["--json", "--size", "+1M"];
  const [program, ...words] = convertCommand(`oci:${layout}`, directory, { options });
  const { chunks } = JSON.parse(run(program, words));
  const disk = path.join(directory, "disk.ext4");
  const places = ["--store", path.join(directory, "store"), "--key", path.join(directory, "key.json")];
  run(process.execPath, [PROGRAM, "export", "bench", "-o", disk, "--quiet", ...places]);
  return { disk, chunks };
}

function rowOf({ name, unit, rates }) {
  const beside = rates.get(servers.BESIDE);
  return {
    name,
    unit,
    servers: [...rates].map(([server, each]) => ({
      name: server,
      rate: summarize(each),
      ratio: summarizeRatios(each, beside),
    })),
  };
}

function printRates({ name, unit, servers: each }) {
  console.log(name);
  for (const { name: server, rate, ratio } of each)
    console.log(
      `  ${server.padEnd(18)} ${showSpread(rate)} ${unit}, ${showSpread(ratio)} of ${servers.BESIDE}`,
    );
}

async function benchStarts() {
  const missing = starts.missingPrograms();
  const lack = whyNoImages() ?? (missing.length > 0 ? missing.join(", ") : undefined);
  if (lack !== undefined) {
    console.log(`left out: starts (need ${lack})`);
    return undefined;
  }
  if (!starts.hasTraces()) console.log("left out: starts that replay a trace (serve has no --record)");
  const rows = [];
  for (const name of values.programs.split(",")) rows.push(await benchProgram(name));
  return { delayMs, rows };
}

async function benchProgram(name) {
  const directory = path.join(work, `start-${name}`);
  mkdirSync(directory);
  const { command } = PROGRAMS[name];
  const layout = await makeProgramImage(name, path.resolve(values.images ?? work));
  const pull = await starts.preparePull(layout, directory, command);
  try {
    const { image, turn } = starts.prepareStarts(layout, directory, command);
    const turns = [];
    for (let count = 0; count <= runCount; count++) {
      const all = { ...turn(delayMs), ...(pull === undefined ? {} : { pulled: pull.take() }) };
      if (count > 0) turns.push(all);
    }
    const row = { name, command, image, ...summarizeStarts(turns), pulledFrom: pull?.source };
    if (turns[0].replayed !== undefined)
      row.ofAllowed = summarizeRatios(
        turns.map(({ replayed }) => replayed.totalSeconds),
        turns.map((each) => starts.allowedSeconds(each, delayMs)),
      );
    printStart(row);
    return row;
  } finally {
    pull?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Each figure of each kind of start, over the turns. */
function summarizeStarts(turns) {
  const kinds = Object.keys(turns[0]);
  const figuresOf = (kind) =>
    Object.keys(turns[0][kind]).map((key) => [key, summarize(turns.map((each) => each[kind][key]))]);
  return { starts: Object.fromEntries(kinds.map((kind) => [kind, Object.fromEntries(figuresOf(kind))])) };
}

function printStart({ command, image, starts: kinds, pulledFrom, ofAllowed }) {
  const megabytes = (bytes) => `${showNumber(bytes / 1e6)} MB`;
  console.log(
    `\n${command.join(" ")}: ${megabytes(image.diskBytes)} of disk in ${image.chunkCount} chunks, layers ${megabytes(image.storedBytes)}`,
  );
  for (const [kind, each] of Object.entries(kinds)) {
    const fetched =
      each.chunkCount === undefined
        ? `${megabytes(image.storedBytes)} from ${pulledFrom === undefined ? "?" : `a ${pulledFrom}`}`
        : `${showNumber(each.chunkCount.median)} chunks, ${megabytes(each.fetchedBytes.median)}`;
    const first =
      each.mountSeconds === undefined ? ["pulled", each.pullSeconds] : ["mounted", each.mountSeconds];
    const again = each.againSeconds === undefined ? "" : `, again ${showNumber(each.againSeconds.median)} s`;
    console.log(
      `  ${KIND_NAMES[kind].padEnd(36)} ${showSpread(each.totalSeconds)} s (${first[0]} after ${showNumber(first[1].median)} s${again}), ${fetched}`,
    );
  }
  if (ofAllowed !== undefined)
    console.log(`  replayed / (1.3 × without delay + a round trip for 16 chunks): ${showSpread(ofAllowed)}`);
}

/** What the programs beside ours say of their version. */
function listVersions() {
  return ["nbdkit", "qemu-nbd", "nbdcopy", "fio", "skopeo", "umoci"].filter(isInstalled).map((program) => {
    const [first] = run(program, ["--version"]).trim().split("\n");
    return first.includes(program) ? first : `${program}: ${first}`;
  });
}
