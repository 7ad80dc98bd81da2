// `npm run bench`: convert beside what else does parts of the same work, turn by turn on the same image.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { setAside } from "./_aside.mjs";
import {
  listOtherwisePeers,
  listPeers,
  listReaders,
  listRegistryPeers,
  missingOf,
  OURS,
  REGISTRY_ROWS,
  startRegistry,
} from "./_convert-peers.mjs";
import { showNumber, showSpread, summarizeRatios } from "./_figures.mjs";
import { describeImage, makeImage } from "./_image.mjs";
import { isInstalled, nameOf, run } from "./_layout.mjs";
import { describeMachine, measure, summarizeCosts } from "./_measure.mjs";
import { countOf, keepResult, readOptions } from "./_options.mjs";
import { showSize } from "./_page.mjs";

const USAGE = `usage: npm run bench -- [--image LAYOUT | --large] [--runs N] [--only TEXT] [--json FILE] [--record]

Runs convert, and what else is installed that does parts of the same work, turn by turn on one image, after one turn to
warm up. Prints medians, least and greatest of wall seconds, CPU seconds and peak memory of the whole process tree, and
the ratio of convert's time to each row's, turn by turn.

  --image LAYOUT  an OCI layout; without it, one layer is made of up to 400 MB of this machine's /usr
  --large         one layer of up to 2000 MB, and only what reads it and writes nothing beside convert
  --runs N        turns that count (default: 5)
  --only TEXT     rows whose name has this in it, and convert
  --json FILE     write the figures there, too
  --record        keep them in docs/benchmarks, and draw its plots and page anew
`;

const values = readOptions(
  USAGE,
  {
    image: { type: "string" },
    large: { type: "boolean", default: false },
    runs: { type: "string", default: "5" },
    only: { type: "string", default: "" },
    json: { type: "string" },
    record: { type: "boolean", default: false },
  },
  ({ image, large, runs }) => {
    if (large && image !== undefined) return "--large: expected no --image beside it";
    return countOf(runs) === undefined ? "--runs: expected a whole number above zero" : undefined;
  },
);
const runCount = countOf(values.runs);
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-bench-"));

let registry;
try {
  const layout =
    values.image === undefined
      ? await makeImage(work, { isLarge: values.large })
      : path.resolve(values.image);
  if (!values.large && REGISTRY_ROWS.some(isWanted)) registry = await startRegistry(layout, work);
  const turns = new Map();
  // The first turn warms the page cache, and shows which peers cannot take this image.
  const list = values.large ? listReaders : listPeers;
  const all = [...list(layout, work), ...(await listOtherwisePeers(layout, work, isWanted))];
  if (registry !== undefined) all.push(...listRegistryPeers(registry, work));
  for (const peer of choose(all)) if (await isAble(peer)) turns.set(peer, []);
  for (let turn = 0; turn < runCount; turn++)
    for (const [peer, costs] of shuffled(turns, turn)) costs.push(await measureFresh(peer));
  const result = {
    machine: describeMachine(),
    versions: listVersions(),
    image: {
      name: values.image === undefined ? "parts of /usr" : nameOf(layout),
      ...describeImage(layout),
    },
    runs: runCount,
    rows: rowsOf(turns),
  };
  print(result);
  keepResult(values.large ? "convert-large" : "convert", result, values);
} finally {
  registry?.stop();
  rmSync(work, { recursive: true, force: true });
}

/**
 * Rows in another order each turn, the same in every run: what a row leaves behind (memory that is given back, a disk that is
 * busy) costs the next one up to a tenth, and must not always cost the same.
 */
function shuffled(turns, turn) {
  const draw = ([{ name }]) => createHash("sha256").update(`${turn} ${name}`).digest("hex");
  return [...turns].sort((left, right) => (draw(left) < draw(right) ? -1 : 1));
}

function isWanted(name) {
  return name === OURS || name.includes(values.only);
}

function choose(peers) {
  return peers.filter((peer) => {
    if (!isWanted(peer.name)) return false;
    const missing = missingOf(peer);
    if (missing.length > 0) console.log(`left out: ${peer.name} (needs ${missing.join(", ")})`);
    return missing.length === 0;
  });
}

async function isAble(peer) {
  try {
    await measureFresh(peer);
    return true;
  } catch (error) {
    if (peer.name === OURS) throw error;
    console.log(`left out: ${error.message.trim()}`);
    return false;
  }
}

/** Each turn begins without what the last one wrote, and with nothing of it still on its way to the disk. */
async function measureFresh({ command, env }) {
  const out = path.join(work, "out");
  setAside(out, path.join(work, "aside"));
  mkdirSync(out);
  run("sync", []);
  return measure(command, { env });
}

function rowsOf(turns) {
  const walls = (costs) => costs.map(({ wallSeconds }) => wallSeconds);
  const [ours] = [...turns].filter(([peer]) => peer.name === OURS).map(([, costs]) => costs);
  return [...turns].map(([{ name }, costs]) => ({
    name,
    ...summarizeCosts(costs),
    ratio: summarizeRatios(walls(ours), walls(costs)),
  }));
}

/** What the programs beside ours say of their version: the line that names them with a number, or the first. */
function listVersions() {
  const questions = {
    gzip: ["--version"],
    igzip: ["--version"],
    openssl: ["version"],
    skopeo: ["--version"],
    umoci: ["--version"],
    mke2fs: ["-V"],
    "mkfs.erofs": ["-V"],
    casync: ["--version"],
    borg: ["--version"],
  };
  return Object.entries(questions)
    .filter(([program]) => isInstalled(program))
    .map(([program, words]) => {
      const lines = run("sh", ["-c", '"$0" "$@" 2>&1 || :', program, ...words]).split("\n");
      const named = lines.find((line) => line.startsWith(program) && /\d/.test(line));
      const said = (named ?? lines[0]).trim();
      return said.includes(program) ? said : `${program}: ${said}`;
    });
}

function print({ machine, versions, image, runs, rows }) {
  console.log(`machine: ${machine}\nbeside: ${versions.join("; ")}`);
  console.log(`image: ${image.name}, ${showSize(image)}; ${runs} turns\n`);
  const width = Math.max(...rows.map(({ name }) => name.length));
  for (const row of rows) {
    const peak = row.peakBytes === undefined ? "-" : `${showNumber(row.peakBytes.median / 1e6)} MB`;
    console.log(
      `${row.name.padEnd(width)}  wall ${showSpread(row.wallSeconds)} s  ` +
        `user ${showNumber(row.userSeconds.median)} + sys ${showNumber(row.systemSeconds.median)} s  peak ${peak}  ` +
        `ours / this ${showSpread(row.ratio)}`,
    );
  }
}
