// The page docs/benchmarks/README.md: how the figures came about, and tables of those that are recorded.
import { showNumber, showShift, showSpread } from "./_figures.mjs";
import { tellDevice } from "./_page-device.mjs";
import { table } from "./_table.mjs";

const HEAD = `# Recorded figures

Made by \`node test/bench/draw.mjs\` from the JSON files beside it, which the benchmarks write with \`--record\`: do not edit.
Each table is one run of one script on the machine named above it. Nothing here is asserted by a test. What the figures
mean, and what they do not show: [benchmarks](../benchmarks.md). How they are taken: [testing](../testing.md#benchmarks).
`;

/** What each part says where it has no record. */
const NONE = "Not recorded.\n";

/** The page's text. Records are as their scripts write them, or \`undefined\`; \`plots\` are the names of all plots. */
export function pageOf({ convert, convertLarge, scale, micro, device, hasProfile }, plots) {
  const images = (prefix) =>
    plots
      .filter((name) => name.startsWith(prefix))
      .map((name) => `![${name.replace(/\.svg$/, "")}](${name})\n`);
  const profile = hasProfile ? "[profile.txt](profile.txt): CPU by thread and by kind of work.\n" : NONE;
  return [
    HEAD,
    section("Conversion beside its peers", "npm run bench -- --record", convert && tellConvert(convert)),
    ...images("convert"),
    section("A larger layer", "npm run bench -- --large --record", convertLarge && tellConvert(convertLarge)),
    section("Scale", "npm run bench:scale -- --full --record", scale && tellScale(scale)),
    ...images("scale"),
    section("Parts", "npm run bench:micro -- --record", micro && tellMicro(micro)),
    ...images("micro"),
    section("Where a second goes", "npm run bench:profile -- --record", profile),
    section("Devices", "npm run bench:device -- --record", device && tellDevice(device)),
  ].join("\n");
}

function section(title, command, body = NONE) {
  return `## ${title}\n\n    ${command}\n\n${body}`;
}

function tellConvert({ machine, versions, image, runs, rows }) {
  return [
    `Machine: ${machine}. Image: ${image.name}, ${showSize(image)}.`,
    `Medians and range of ${runs} turns, each of which runs every row once, after one to warm up.`,
    `Beside: ${versions.join("; ")}.\n`,
    table(
      ["", "wall s", "user s", "system s", "peak MB", "ours / this"],
      rows.map((row) => [
        `\`${row.name.replaceAll("|", "\\|")}\``,
        showSpread(row.wallSeconds),
        showNumber(row.userSeconds.median),
        showNumber(row.systemSeconds.median),
        showPeak(row.peakBytes),
        showSpread(row.ratio),
      ]),
    ),
  ].join("\n");
}

/** An image's layers, and their bytes. */
export function showSize({ layerCount, storedBytes }) {
  return `${layerCount} ${layerCount === 1 ? "layer" : "layers"}, ${showNumber(storedBytes / 1e6)} MB as stored`;
}

const AXIS_NAMES = {
  bytes: "GiB of files",
  files: "files",
  jobs: "--jobs",
  processors: "processors",
  layers: "layers",
};

function tellScale({ machine, runs, axes }) {
  const parts = axes.map((axis) => {
    const { name, points, fit } = axis;
    const rows = points.map((point, index) => [
      showNumber(point.x),
      showNumber(point.storedBytes / 1e6),
      String(point.fileCount),
      showSpread(point.wallSeconds),
      showNumber(point.cpuSeconds.median),
      showPeak(point.peakBytes),
      fit === undefined ? "" : showShift(fit.deviations[index]),
    ]);
    const head = [AXIS_NAMES[name], "stored MB", "files", "wall s", "CPU s", "peak MB", "beside the line"];
    const width = fit === undefined ? -1 : head.length;
    const said = fit === undefined ? "" : `\n${tellFit(fit, AXIS_NAMES[name])}\n`;
    return (
      table(
        head.slice(0, width),
        rows.map((row) => row.slice(0, width)),
      ) + said
    );
  });
  return [`Machine: ${machine}. Medians and range of ${runs} runs.\n`, ...parts].join("\n");
}

/** The fit in words: seconds for nothing, seconds for each unit, and how far the points are from it. */
export function tellFit({ intercept, slope, deviations }, unit) {
  const worst = Math.max(...deviations.map(Math.abs));
  const each = slope >= 0.01 ? `${showNumber(slope)} s` : `${showNumber(slope * 1e6)} µs`;
  return `Wall time is ${showNumber(intercept)} s and ${each} for each of the ${unit}; no point is further than ${(100 * worst).toFixed(1)} % from that line.`;
}

function tellMicro({ machine, runs, cases }) {
  return [
    `Machine: ${machine}. Medians and range of ${runs} turns.\n`,
    table(
      ["", "rate", "unit", "least to greatest"],
      cases.map(({ name, unit, rate }) => [
        name.replaceAll("|", "\\|"),
        showNumber(rate.median),
        unit,
        `${showNumber(rate.min)} to ${showNumber(rate.max)}`,
      ]),
    ),
  ].join("\n");
}

function showPeak(peakBytes) {
  return peakBytes === undefined ? "-" : showNumber(peakBytes.median / 1e6);
}
