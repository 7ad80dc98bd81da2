/** docs/benchmarks shows what its records say: no plot or page there is older than its record, or written by hand. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { describeWith, run } from "../support/judge.ts";
import { drawAll, filesOf } from "./_drawings.mjs";

const RECORDS = path.resolve(import.meta.dirname, "../../docs/benchmarks");

const MACHINE = "2 × Example processor, 8 GiB of memory, Linux 1.0, Node v20.0.0";
const COSTS = {
  wallSeconds: { median: 2, min: 1.5, max: 2.5 },
  userSeconds: { median: 2.2, min: 2, max: 2.3 },
  systemSeconds: { median: 0.4, min: 0.3, max: 0.5 },
  cpuSeconds: { median: 2.6, min: 2.3, max: 2.8 },
  peakBytes: { median: 2e8, min: 2e8, max: 2.1e8 },
};
const ONCE = { median: 1, min: 1, max: 1 };

const CONVERT = {
  machine: MACHINE,
  versions: ["gzip 1.0"],
  image: { name: "sample", layerCount: 1, storedBytes: 140e6 },
  runs: 3,
  rows: [
    { name: "lambda-img convert", ...COSTS, ratio: ONCE },
    {
      name: "gzip -dc | sha256sum",
      ...COSTS,
      peakBytes: undefined,
      ratio: { median: 1.25, min: 1.2, max: 1.3 },
    },
  ],
};

function pointsOf(xs: readonly number[]): (typeof COSTS & { x: number })[] {
  return xs.map((x) => ({ x, sizeBytes: x, storedBytes: x * 1e6, fileCount: 85, layerCount: 4, ...COSTS }));
}

/** Points on the line of FIT. */
const FIT = { intercept: 0.5, slope: 12.25, deviations: [0.01, -0.02, 0] };
const ON_LINE = pointsOf([0.1, 1, 10]).map((point) => {
  const seconds = FIT.intercept + FIT.slope * point.x;
  return { ...point, wallSeconds: { median: seconds, min: seconds, max: seconds } };
});

const SCALE = {
  machine: MACHINE,
  runs: 3,
  axes: [
    { name: "bytes", points: ON_LINE, fit: FIT },
    { name: "files", points: pointsOf([1000, 30_000]) },
    { name: "jobs", points: pointsOf([1, 2, 4]) },
  ],
};

const NEARLY = { median: 0.9, min: 0.8, max: 1 };
const MOUNTED = {
  mountSeconds: ONCE,
  totalSeconds: COSTS.wallSeconds,
  chunkCount: { median: 23, min: 23, max: 23 },
  fetchedBytes: { median: 12e6, min: 12e6, max: 12e6 },
};

const DEVICE = {
  machine: MACHINE,
  versions: ["nbdkit 1.0"],
  runs: 3,
  rates: {
    image: { layerCount: 1, storedBytes: 140e6, sizeBytes: 537e6, chunks: { total: 1000, zero: 305 } },
    seconds: 5,
    rows: [
      {
        name: "nbdcopy",
        unit: "MB/s",
        servers: [
          { name: "lambda-img serve", rate: { median: 1500, min: 1400, max: 1600 }, ratio: NEARLY },
          { name: "nbdkit file", rate: { median: 1600, min: 1600, max: 1700 }, ratio: ONCE },
        ],
      },
    ],
  },
  starts: {
    delayMs: 30,
    rows: [
      {
        name: "bash",
        command: ["bash"],
        image: { layerCount: 1, storedBytes: 48e6, diskBytes: 268e6, chunkCount: 275 },
        starts: {
          cold: MOUNTED,
          replayed: MOUNTED,
          near: MOUNTED,
          pulled: { pullSeconds: ONCE, totalSeconds: COSTS.wallSeconds },
        },
        ofAllowed: NEARLY,
      },
    ],
  },
};

const MICRO = {
  machine: MACHINE,
  runs: 7,
  cases: [
    { name: "crc32c", unit: "MB/s", rate: { median: 1000, min: 900, max: 1100 } },
    { name: "flatten", unit: "entries/s", rate: { median: 300_000, min: 200_000, max: 310_000 } },
  ],
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-drawings-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function record(name: string, value: object): void {
  writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(value));
}

function recordAll(): void {
  record("convert", CONVERT);
  record("convert-large", { ...CONVERT, runs: 11 });
  record("scale", SCALE);
  record("micro", MICRO);
  record("device", DEVICE);
  writeFileSync(path.join(folder, "profile.txt"), "a profile\n");
}

test("the page and plots in docs/benchmarks are those that the records there give", () => {
  const drawn = filesOf(RECORDS);
  const found = readdirSync(RECORDS).filter((name) => Object.hasOwn(drawn, name));
  expect(found.toSorted((left, right) => (left < right ? -1 : 1))).toEqual(
    Object.keys(drawn).toSorted((left, right) => (left < right ? -1 : 1)),
  );
  for (const name of found) expect(readFileSync(path.join(RECORDS, name), "utf8"), name).toBe(drawn[name]);
});

describe("a page", () => {
  test("links to the plots that there are, and to no others", () => {
    recordAll();
    drawAll(folder);
    const page = readFileSync(path.join(folder, "README.md"), "utf8");
    const targets = [...page.matchAll(/\]\(([^)#:]+?)\)/g)].map(([, target]) => target!);
    const here = targets.filter((target) => !target.startsWith(".."));
    expect(here.filter((target) => !existsSync(path.join(folder, target)))).toEqual([]);
    const plots = readdirSync(folder).filter((name) => name.endsWith(".svg"));
    expect(here.filter((target) => target.endsWith(".svg"))).toHaveLength(plots.length);
    expect(new Set(plots)).toEqual(
      new Set([
        ...[
          "convert.svg",
          "convert-memory.svg",
          "scale-bytes.svg",
          "scale-bytes-memory.svg",
          "scale-files.svg",
        ],
        ...["scale-files-memory.svg", "scale-parallel.svg", "micro-bytes.svg", "micro-entries.svg"],
      ]),
    );
  });

  test("has the numbers of the records, with their spread", () => {
    recordAll();
    const page = filesOf(folder)["README.md"]!;
    expect(page).toContain(
      "| `gzip -dc \\| sha256sum` | 2 (1.5 to 2.5) | 2.2 | 0.4 | - | 1.25 (1.2 to 1.3) |",
    );
    expect(page.match(/Medians and range of 11 turns/g)).toHaveLength(1);
    expect(page).toContain("| 10 | 10 | 85 | 123 (123 to 123) | 2.6 | 200 | +0.0 % |");
    expect(page).toContain("0.5 s and 12.3 s for each of the GiB of files; no point is further than 2.0 %");
    expect(page).toContain("| flatten | 300000 | entries/s | 200000 to 310000 |");
    expect(page).toContain("A disk of 537 MB, 69.5 % of it chunks");
    expect(page).toContain("| nbdcopy | lambda-img serve | 1500 (1400 to 1600) MB/s | 0.9 (0.8 to 1) |");
    expect(page).toContain(
      "| `bash` | store 30 ms away, trace replayed | 2 (1.5 to 2.5) | 1 | 23 | 12 | 268 | 0.9 (0.8 to 1) |",
    );
    expect(page).toContain("| `bash` | pulled and unpacked first | 2 (1.5 to 2.5) | 1 | - | 48 | 268 |  |");
    expect(page).toContain(MACHINE);
  });

  test("says of what is not recorded just that", () => {
    const drawn = filesOf(folder);
    expect(Object.keys(drawn)).toEqual(["README.md"]);
    expect(drawn["README.md"]!.match(/Not recorded\./g)).toHaveLength(6);
  });
});

test("the line of a plot runs through points that are on it", () => {
  recordAll();
  const svg = filesOf(folder)["scale-bytes.svg"]!;
  const corners = /<path class="line" d="M([^"]+)"/.exec(svg)![1]!.split("L");
  const marks = svg.matchAll(/<circle class="mark" cx="([\d.]+)" cy="([\d.]+)"/g);
  const [first, , last] = [...marks].map((mark) => mark.slice(1).join(" ")); // A fourth is the legend's.
  expect([corners[0], corners.at(-1)]).toEqual([first, last]);
});

describeWith(["chromium"], "a browser", () => {
  test("draws each plot, with all text inside of it", async () => {
    recordAll();
    drawAll(folder);
    const plots = readdirSync(folder).filter((each) => each.endsWith(".svg"));
    const texts = plots.map((name) => readFileSync(path.join(folder, name), "utf8"));
    const page = path.join(folder, "plots.html");
    writeFileSync(page, `<body>${texts.join("")}<pre id="said"></pre><script>${OUTSIDE}</script></body>`);
    const options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"];
    const dom = await run("chromium", [...options, `file://${page}`]);
    const textCount = texts.join("").match(/<text/g)!.length;
    expect(/<pre id="said">(.*?)<\/pre>/s.exec(dom)?.[1]).toBe(
      `${plots.length} plots, ${textCount} texts, outside: `,
    );
  });
});

/** Says which texts leave the drawing, by the browser's own measure of its letters. */
const OUTSIDE = `
  const plots = [...document.querySelectorAll("svg")];
  const texts = [...document.querySelectorAll("svg text")];
  const outside = texts.filter((text) => {
    const ground = text.closest("svg").querySelector("rect.page").getBoundingClientRect();
    const box = text.getBoundingClientRect();
    return box.left < ground.left || box.right > ground.right || box.top < ground.top || box.bottom > ground.bottom;
  });
  document.getElementById("said").textContent =
    plots.length + " plots, " + texts.length + " texts, outside: " + outside.map((text) => text.textContent).join("; ");
`;
