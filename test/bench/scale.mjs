// `npm run bench:scale`: how convert's time and memory grow with bytes, files, threads, processors and layers.
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { setAside } from "./_aside.mjs";
import { fitLine, showNumber, showShift, showSpread } from "./_figures.mjs";
import { isInstalled, run } from "./_layout.mjs";
import { describeMachine, measure, summarizeCosts } from "./_measure.mjs";
import { countOf, keepResult, numbersOf, readOptions } from "./_options.mjs";
import { convertCommand } from "./_ours.mjs";
import { tellFit } from "./_page.mjs";
import { makeSynthetic, recipeOfBytes, recipeOfFiles } from "./_synthetic.mjs";

const GIB = 1 << 30;
const FULL_GIB = 10;
const COUNTS = [1, 2, 4];
/** Layers of the images of all axes but those of files (one) and layers: what a usual image has is a few. */
const LAYER_COUNT = 4;
const AXES = ["bytes", "files", "jobs", "processors", "layers"];

const USAGE = `usage: npm run bench:scale -- [--full] [--axis NAME]... [--sizes LIST] [--files LIST] [--middle GIB] [--runs N]
       [--work DIRECTORY] [--json FILE] [--record]

Converts made-up images into empty stores and says how time and memory grow. An image of bytes has files of 16 KiB to
4 MiB, a fourth of which gzip does not make smaller, in ${LAYER_COUNT} gzip layers; an image of files has them with 0 to 2 KiB
each. Images are made one at a time and removed after their runs: the disk needs room for the largest one, twice.

  --full            ${FULL_GIB} GiB, too: takes long, and some 20 GiB of disk
  --axis NAME       one of ${AXES.join(", ")}; all, if none is named
  --sizes LIST      GiB for the axis of bytes (default: 0.1,1)
  --files LIST      for the axis of files (default: 1000,30000,300000,1000000)
  --middle GIB      size for jobs (--jobs ${COUNTS.join(", ")}), processors (by taskset) and layers (default: 1)
  --runs N          runs of each point (default: 3)
  --work DIRECTORY  where images and stores are made (default: a temporary directory)
  --json FILE       write the figures there, too
  --record          keep them in docs/benchmarks, and draw its plots and page anew
`;

const values = readOptions(
  USAGE,
  {
    full: { type: "boolean", default: false },
    axis: { type: "string", multiple: true, default: AXES },
    sizes: { type: "string", default: "0.1,1" },
    files: { type: "string", default: "1000,30000,300000,1000000" },
    middle: { type: "string", default: "1" },
    runs: { type: "string", default: "3" },
    work: { type: "string", default: os.tmpdir() },
    json: { type: "string" },
    record: { type: "boolean", default: false },
  },
  ({ axis, sizes, files, middle, runs }) => {
    if (!axis.every((name) => AXES.includes(name))) return `--axis: expected ${AXES.join(", ")}`;
    if (numbersOf(sizes) === undefined) return "--sizes: expected numbers above zero, separated by commas";
    if (!files.split(",").every((count) => countOf(count) !== undefined))
      return "--files: expected whole numbers above zero, separated by commas";
    if (numbersOf(middle)?.length !== 1) return "--middle: expected a number above zero";
    return countOf(runs) === undefined ? "--runs: expected a whole number above zero" : undefined;
  },
);
const runCount = countOf(values.runs);
const work = mkdtempSync(path.join(values.work, "lambda-img-scale-"));

try {
  const axes = [];
  for (const name of AXES.filter((each) => values.axis.includes(each))) {
    const points = await takeAxis(name);
    if (points.length === 0) continue;
    const line = ["bytes", "files"].includes(name)
      ? fitLine(points.map(({ x, wallSeconds }) => ({ x, y: wallSeconds.median })))
      : undefined;
    const axis = { name, points, ...(line === undefined ? {} : { fit: line }) };
    print(axis);
    axes.push(axis);
  }
  keepResult("scale", { machine: describeMachine(), runs: runCount, axes }, values);
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function takeAxis(name) {
  if (name === "bytes")
    return takeImages(sizesOf().map((gib) => ({ recipe: recipeOfBytes(gib * GIB, LAYER_COUNT) })));
  if (name === "files")
    return takeImages(
      values.files.split(",").map((count) => ({ x: Number(count), recipe: recipeOfFiles(Number(count)) })),
    );
  const middleBytes = Number(values.middle) * GIB;
  if (name === "layers")
    return takeImages(COUNTS.map((count) => ({ x: count, recipe: recipeOfBytes(middleBytes, count) })));
  const ways = name === "jobs" ? waysOfJobs() : waysOfProcessors();
  if (ways.length === 0) return [];
  return withImage(recipeOfBytes(middleBytes, LAYER_COUNT), (image) => takeTurns(image, ways));
}

function sizesOf() {
  const sizes = numbersOf(values.sizes);
  return values.full && !sizes.includes(FULL_GIB) ? [...sizes, FULL_GIB] : sizes;
}

function waysOfJobs() {
  return COUNTS.map((count) => ({ x: count, options: ["--jobs", String(count)] }));
}

/** Processors are taken away by the kernel's affinity, which convert's own default of threads follows. */
function waysOfProcessors() {
  if (!isInstalled("taskset")) {
    console.log("left out: processors (needs taskset)");
    return [];
  }
  return COUNTS.filter((count) => count <= os.availableParallelism()).map((count) => ({
    x: count,
    before: ["taskset", "--cpu-list", `0-${count - 1}`],
  }));
}

/** Points of an axis on which each has an image of its own; `x` is its GiB where it says nothing else. */
async function takeImages(plans) {
  const points = [];
  for (const { x, recipe } of plans) {
    const way = { x: x ?? recipe.sizeBytes / GIB };
    points.push(...(await withImage(recipe, (image) => takeTurns(image, [way]))));
  }
  return points;
}

/** Makes an image for the time of `use`. */
async function withImage(recipe, use) {
  const directory = path.join(work, "image");
  try {
    const made = await makeSynthetic(recipe, directory);
    run("sync", []);
    return await use({ ...recipe, ...made });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** All ways of converting one image, turn by turn. The image was just written, so it is in the page cache if it fits. */
async function takeTurns({ layout, sizeBytes, fileCount, layers, storedBytes }, ways) {
  const costs = ways.map(() => []);
  for (let turn = 0; turn < runCount; turn++)
    for (const [index, way] of ways.entries()) costs[index].push(await convertFresh(layout, way));
  return ways.map(({ x }, index) => ({
    x,
    sizeBytes,
    storedBytes,
    fileCount,
    layerCount: layers.length,
    ...summarizeCosts(costs[index]),
  }));
}

async function convertFresh(layout, { before = [], options = [] }) {
  const out = path.join(work, "out");
  try {
    return await measure([...before, ...convertCommand(`oci:${layout}`, out, { options })]);
  } finally {
    setAside(out, path.join(work, "aside"));
    run("sync", []);
  }
}

function print({ name, points, fit }) {
  console.log(`## ${name}`);
  for (const [index, point] of points.entries()) {
    const peak = point.peakBytes === undefined ? "-" : `${showNumber(point.peakBytes.median / 1e6)} MB`;
    const beside = fit === undefined ? "" : `  beside the line ${showShift(fit.deviations[index])}`;
    console.log(
      `${showNumber(point.x).padStart(8)}  ${point.fileCount} files, ${showNumber(point.sizeBytes / 1e6)} MB ` +
        `(${showNumber(point.storedBytes / 1e6)} stored)  wall ${showSpread(point.wallSeconds)} s  ` +
        `CPU ${showNumber(point.cpuSeconds.median)} s  peak ${peak}${beside}`,
    );
  }
  console.log(fit === undefined ? "" : `${tellFit(fit, name === "bytes" ? "GiB" : name)}\n`);
}
