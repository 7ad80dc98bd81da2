// What docs/benchmarks shows: plots, and the page with tables, all from the records (JSON) that lie there.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { drawChart, drawRows } from "./_chart.mjs";
import { showNumber } from "./_figures.mjs";
import { pageOf, showSize } from "./_page.mjs";

const LINE_CORNERS = 40;

/** Draws all plots and writes the page of a folder of records; what has no record has no plot. */
export function drawAll(folder) {
  for (const [name, text] of Object.entries(filesOf(folder))) writeFileSync(path.join(folder, name), text);
}

/** The files that the records of a folder give, by name: plots and README.md. A function of the records alone. */
export function filesOf(folder) {
  const read = (name) => {
    const file = path.join(folder, name);
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  };
  const record = (name) => JSON.parse(read(`${name}.json`) ?? "null") ?? undefined;
  const names = ["convert", "convert-large", "scale", "micro", "device"];
  const [convert, convertLarge, scale, micro, device] = names.map(record);
  const plots = { ...plotConvert(convert), ...plotScale(scale), ...plotMicro(micro) };
  const page = pageOf(
    { convert, convertLarge, scale, micro, device, hasProfile: read("profile.txt") !== undefined },
    Object.keys(plots),
  );
  return { ...plots, "README.md": page };
}

function plotConvert(record) {
  if (record === undefined) return {};
  const { machine, image, runs, rows } = record;
  const notes = [`${image.name}: ${showSize(image)}; medians and range of ${runs} turns`, machine];
  const costs = drawRows({
    title: "One image, by convert and by what does parts of the same work",
    notes,
    label: "seconds (logarithmic)",
    columns: ["wall", "CPU, user and system"],
    rows: rows.map(({ name, wallSeconds, cpuSeconds }) => ({ name, values: [wallSeconds, cpuSeconds] })),
    isLog: true,
  });
  const known = rows.filter(({ peakBytes }) => peakBytes !== undefined);
  if (known.length === 0) return { "convert.svg": costs };
  const memory = drawRows({
    title: "Peak resident memory of the whole process tree",
    notes,
    label: "MB (logarithmic)",
    columns: ["peak"],
    rows: known.map(({ name, peakBytes }) => ({ name, values: [inMegabytes(peakBytes)] })),
    isLog: true,
  });
  return { "convert.svg": costs, "convert-memory.svg": memory };
}

function plotScale(record) {
  if (record === undefined) return {};
  const notes = [`lambda-img convert; medians and range of ${record.runs} runs`, record.machine];
  const axes = new Map(record.axes.map((axis) => [axis.name, axis]));
  return {
    ...plotGrowth(axes.get("bytes"), { what: "bytes", label: "files' bytes, GiB (logarithmic)", notes }),
    ...plotGrowth(axes.get("files"), { what: "files", label: "files of 0 to 2 KiB (logarithmic)", notes }),
    ...plotParallel(
      ["jobs", "processors", "layers"].map((name) => axes.get(name)).filter((axis) => axis !== undefined),
      notes,
    ),
  };
}

/** Time and memory along one axis, as two plots. */
function plotGrowth(axis, { what, label, notes }) {
  if (axis === undefined) return {};
  const { points, fit } = axis;
  const series = (name, key) => ({ name, points: points.map((point) => ({ x: point.x, y: point[key] })) });
  const fitted = fit === undefined ? {} : { line: cornersOf(fit, points) };
  const time = drawChart({
    title: `Time by ${what}${fit === undefined ? "" : "; dashed: the straight line through the wall times"}`,
    notes,
    x: { label, isLog: true },
    y: { label: "seconds (logarithmic)", isLog: true },
    series: [{ ...series("wall", "wallSeconds"), ...fitted }, series("CPU, user and system", "cpuSeconds")],
  });
  const measured = points.filter(({ peakBytes }) => peakBytes !== undefined);
  if (measured.length === 0) return { [`scale-${what}.svg`]: time };
  const memory = drawChart({
    title: `Peak resident memory by ${what}`,
    notes,
    x: { label, isLog: true },
    y: { label: "MB" },
    series: [
      { name: "peak", points: measured.map(({ x, peakBytes }) => ({ x, y: inMegabytes(peakBytes) })) },
    ],
  });
  return { [`scale-${what}.svg`]: time, [`scale-${what}-memory.svg`]: memory };
}

/** A line that is straight on plain axes is bent on logarithmic ones. */
function cornersOf({ intercept, slope }, points) {
  const xs = points.map(({ x }) => x);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  return Array.from(
    { length: LINE_CORNERS },
    (_, corner) => low * (high / low) ** (corner / (LINE_CORNERS - 1)),
  )
    .map((x) => ({ x, y: intercept + slope * x }))
    .filter(({ y }) => y > 0);
}

const PARALLEL_NAMES = {
  jobs: "--jobs (sealing threads)",
  processors: "processors it may use",
  layers: "layers of the image",
};

function plotParallel(axes, notes) {
  if (axes.length === 0) return {};
  const plot = drawChart({
    title: "The same bytes with more threads, processors, layers",
    notes,
    x: { label: "count" },
    y: { label: "wall seconds" },
    series: axes.map(({ name, points }) => ({
      name: PARALLEL_NAMES[name],
      points: points.map(({ x, wallSeconds }) => ({ x, y: wallSeconds })),
      line: points.map(({ x, wallSeconds }) => ({ x, y: wallSeconds.median })),
    })),
  });
  return { "scale-parallel.svg": plot };
}

function plotMicro(record) {
  if (record === undefined) return {};
  const notes = [`medians and range of ${record.runs} turns`, record.machine];
  const plots = {};
  for (const [unit, file] of Object.entries({
    "MB/s": "micro-bytes.svg",
    "entries/s": "micro-entries.svg",
  })) {
    const rows = record.cases.filter((each) => each.unit === unit);
    if (rows.length === 0) continue;
    plots[file] = drawRows({
      title: `Parts of a conversion, ${unit}`,
      notes,
      label: `${unit} (logarithmic)`,
      columns: ["rate"],
      rows: rows.map(({ name, rate }) => ({ name, values: [rate] })),
      isLog: true,
    });
  }
  return plots;
}

function inMegabytes({ median, min, max }) {
  return { median: median / 1e6, min: min / 1e6, max: max / 1e6 };
}
