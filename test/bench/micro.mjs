// `npm run bench:micro`: the parts of a conversion, each by itself, beside others that do the same.
import { createCipheriv, createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import tarStream from "tar-stream";

import { sealChunk } from "../../dist/crypto/chunk-seal.js";
import { crc32c } from "../../dist/ext4/crc32c.js";
import { decompressLent } from "../../dist/oci/decompress.js";
import { TarParser } from "../../dist/tar/parser.js";
import { Flattener } from "../../dist/tree/flatten.js";
import { OutlineBuilder } from "../../dist/tree/layer-outline.js";
import { crc32cByTable } from "./_crc32c-table.mjs";
import { showNumber, summarize } from "./_figures.mjs";
import { isInstalled, run } from "./_layout.mjs";
import { describeMachine } from "./_measure.mjs";
import { countOf, keepResult, readOptions } from "./_options.mjs";
import { recipeOfBytes, recipeOfFiles, tarOf } from "./_synthetic.mjs";

const CHUNK_BYTES = 512 << 10;
const BLOCK_BYTES = 4096;
/** Pieces that a parser gets at once, as convert gives them. */
const PIECE_BYTES = 256 << 10;

const PARTS = {
  tar: tarCases,
  inflate: inflateCases,
  sealing: sealCases,
  crc32c: checksumCases,
  flatten: flattenCases,
};

const USAGE = `usage: npm run bench:micro -- [--part NAME]... [--size MB] [--runs N] [--json FILE] [--record]

Measures tar parsing (beside tar-stream), inflate (beside gzip and igzip, where installed), sealing and its parts, crc32c
(beside a table of 256 entries) and flattening, turn by turn after two turns to warm up. All but the programs run in
memory and in one thread; inflate has one more, of Node's pool.

  --part NAME   one of ${Object.keys(PARTS).join(", ")}; all, if none is named
  --size MB     how much each works on (default: 64)
  --runs N      turns that count (default: 7)
  --json FILE   write the figures there, too
  --record      keep them in docs/benchmarks, and draw its plots and page anew
`;

const values = readOptions(
  USAGE,
  {
    part: { type: "string", multiple: true, default: Object.keys(PARTS) },
    size: { type: "string", default: "64" },
    runs: { type: "string", default: "7" },
    json: { type: "string" },
    record: { type: "boolean", default: false },
  },
  ({ part, size, runs }) => {
    if (!part.every((name) => Object.hasOwn(PARTS, name)))
      return `--part: expected ${Object.keys(PARTS).join(", ")}`;
    return countOf(size) === undefined || countOf(runs) === undefined
      ? "--size, --runs: expected whole numbers above zero"
      : undefined;
  },
);
const WARM_TURNS = 2;
const TURN_MS_MIN = 200;
const runCount = countOf(values.runs);
const sizeBytes = countOf(values.size) * 1_000_000;
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-micro-"));

try {
  const cases = Object.entries(PARTS)
    .filter(([name]) => values.part.includes(name))
    .flatMap(([, makeCases]) => makeCases())
    .filter(({ name, needs }) => isPossible(name, needs))
    .map((each) => ({ ...each, frequencies: [] }));
  for (let turn = -WARM_TURNS; turn < runCount; turn++) {
    for (const each of cases) {
      const frequency = await frequencyOf(each.task);
      if (turn >= 0) each.frequencies.push(frequency);
    }
  }
  const result = {
    machine: describeMachine(),
    runs: runCount,
    sizeBytes,
    cases: cases.flatMap(ratesOf),
  };
  console.log(`machine: ${result.machine}\n${runCount} turns, on about ${values.size} MB each\n`);
  for (const { name, unit, rate } of result.cases)
    console.log(
      `${name.padEnd(44)} ${showNumber(rate.median).padStart(9)} ${unit}  (${showNumber(rate.min)} to ${showNumber(rate.max)})`,
    );
  keepResult("micro", result, values);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** How often a second a task is done, over as many rounds as it takes to have a time that can be measured. */
async function frequencyOf(task) {
  const startMs = performance.now();
  for (let rounds = 1; ; rounds++) {
    await task();
    const spentMs = performance.now() - startMs;
    if (spentMs >= TURN_MS_MIN) return rounds / (spentMs / 1000);
  }
}

/** A case's rates in each unit of what one round of it works on. */
function ratesOf({ name, amounts, frequencies }) {
  return Object.entries(amounts).map(([unit, amount]) => ({
    name,
    unit,
    rate: summarize(frequencies.map((frequency) => frequency * amount)),
  }));
}

function isPossible(name, needs = []) {
  const missing = needs.filter((need) => !isInstalled(need));
  if (missing.length > 0) console.log(`left out: ${name} (needs ${missing.join(", ")})`);
  return missing.length === 0;
}

/** Two tars: files of 16 KiB to 4 MiB, and files of 0 to 2 KiB, where headers are most of the work. */
function tarCases() {
  const tars = {
    "large files": recipeOfBytes(sizeBytes),
    "small files": recipeOfFiles(Math.ceil(sizeBytes / 2000)),
  };
  return Object.entries(tars).flatMap(([what, recipe]) => {
    const bytes = concat(tarOf(recipe.layers[0]));
    const amounts = { "MB/s": bytes.length / 1e6, "entries/s": parse(bytes) };
    return [
      { name: `tar, ${what}`, amounts, task: () => parse(bytes) },
      {
        name: `tar, ${what}: tar-stream`,
        amounts,
        task: () => parseByTarStream(bytes, amounts["entries/s"]),
      },
    ];
  });
}

/** Gives the number of entries. */
function parse(bytes) {
  let entryCount = 0;
  const sink = { entry: () => entryCount++, body: () => undefined, entryEnd: () => undefined };
  const parser = new TarParser(sink, { label: "bench" });
  for (const piece of piecesOf(bytes)) parser.push(piece);
  parser.finish();
  return entryCount;
}

function parseByTarStream(bytes, expectedCount) {
  return new Promise((resolve, reject) => {
    let entryCount = 0;
    const extract = tarStream.extract();
    extract.on("entry", (_header, stream, next) => {
      entryCount++;
      stream.on("data", () => undefined).on("end", next);
    });
    extract.on("error", reject).on("finish", () => {
      if (entryCount === expectedCount) resolve();
      else reject(new Error(`tar-stream found ${entryCount} entries, not ${expectedCount}`));
    });
    for (const piece of piecesOf(bytes))
      extract.write(Buffer.from(piece.buffer, piece.byteOffset, piece.length));
    extract.end();
  });
}

/** Output counts. The programs read a file that is in the page cache and write to nowhere; their start is in their time. */
function inflateCases() {
  const file = path.join(work, "layer.gz");
  const plain = concat(tarOf(recipeOfBytes(sizeBytes).layers[0]));
  const plainFile = path.join(work, "layer");
  writeFileSync(plainFile, plain);
  run("gzip", ["-6", "-n", plainFile]);
  const amounts = { "MB/s": plain.length / 1e6 };
  const byProgram = (program) => ({
    name: `inflate: ${program} -dc`,
    amounts,
    needs: [program],
    task: () => run(program, ["-dc", file], { stdio: ["ignore", "ignore", "pipe"] }),
  });
  const ours = async () => {
    let sum = 0;
    for await (const piece of decompressLent(createReadStream(file, { highWaterMark: 256 << 10 }), "bench"))
      sum += piece.length;
    if (sum !== plain.length) throw new Error("inflate gave another number of bytes");
  };
  return [{ name: "inflate", amounts, task: ours }, byProgram("gzip"), byProgram("igzip")];
}

function sealCases() {
  const salt = new Uint8Array(32);
  const count = Math.max(1, Math.floor(sizeBytes / CHUNK_BYTES));
  const chunk = concat(tarOf(recipeOfBytes(CHUNK_BYTES).layers[0])).subarray(0, CHUNK_BYTES);
  const amounts = { "MB/s": (count * CHUNK_BYTES) / 1e6 };
  const times = (once) => () => {
    for (let index = 0; index < count; index++) {
      chunk[0] = index; // No two chunks are the same.
      once();
    }
  };
  const encrypt = () => createCipheriv("aes-256-ctr", salt, salt.subarray(0, 16)).update(chunk);
  return [
    { name: "sealing a chunk", task: times(() => sealChunk(chunk, salt)) },
    { name: "sealing, of it SHA-256 once", task: times(() => createHash("sha256").update(chunk).digest()) },
    { name: "sealing, of it AES-256-CTR", task: times(encrypt) },
  ].map((each) => ({ ...each, amounts }));
}

/** As ext4 has it: blocks of 4096 bytes. */
function checksumCases() {
  const bytes = concat(tarOf(recipeOfBytes(8 << 20).layers[0])).subarray(0, 8 << 20);
  const rounds = Math.max(1, Math.round(sizeBytes / bytes.length));
  const amounts = { "MB/s": (rounds * bytes.length) / 1e6 };
  const times = (checksum) => () => {
    for (let round = 0; round < rounds; round++)
      for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
        checksum(0xffffffff, bytes.subarray(at, at + BLOCK_BYTES));
  };
  if (crc32c(0xffffffff, bytes) !== crc32cByTable(0xffffffff, bytes))
    throw new Error("the two crc32c differ");
  return [
    { name: "crc32c", task: times(crc32c) },
    { name: "crc32c: a table of 256 entries", task: times(crc32cByTable) },
  ].map((each) => ({ ...each, amounts }));
}

/** Three layers: a base, another with as many files beside it, and one that replaces a third of the base. */
function flattenCases() {
  const fileCount = Math.ceil(sizeBytes / 1000);
  const layers = [
    layerEntries("base", fileCount),
    layerEntries("application", fileCount),
    layerEntries("base", Math.ceil(fileCount / 3)),
  ];
  const amounts = { "entries/s": layers.reduce((sum, entries) => sum + entries.length, 0) };
  const task = () => {
    const flattener = new Flattener();
    for (const entries of layers) flattener.applyLayer(entries);
    flattener.finish();
  };
  return [{ name: "flatten, three layers", amounts, task }];
}

function layerEntries(top, fileCount) {
  const entries = [];
  const common = {
    uid: 0,
    gid: 0,
    mtime: { seconds: 1_700_000_000, nanoseconds: 0 },
    linkTarget: "",
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
  };
  for (let index = 0; index < fileCount; index++) {
    const folder = `${top}/packages/${Math.floor(index / 100)}`;
    if (index % 100 === 0)
      entries.push({ ...common, path: `${folder}/`, type: "dir", mode: 0o755, body: undefined });
    const runs = [{ fileBlock: 0, segmentBlock: index, blockCount: 1 }];
    const body = { sizeBytes: 1000, runs };
    entries.push({ ...common, path: `${folder}/file-${index}.txt`, type: "file", mode: 0o644, body });
  }
  const outline = new OutlineBuilder();
  for (const entry of entries) outline.add(entry);
  return Object.assign(entries, { outline: outline.finish() });
}

function concat(pieces) {
  return new Uint8Array(Buffer.concat([...pieces]));
}

function* piecesOf(bytes) {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
