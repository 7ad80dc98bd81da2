// Charts as SVG, by hand: points with their spread on two axes, and rows of dots. Readable on light and dark pages: the
// drawing has a background of its own and follows the reader's preference.
import { showNumber } from "./_figures.mjs";

const WIDTH = 760;
const MARKS = 4;

const STYLE = `
  .page { fill: #ffffff } text { fill: #24292f; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 15px; font-weight: 600 } .note { fill: #57606a; font-size: 12px }
  .grid { stroke: #d8dee4 } .axis { stroke: #6e7781 }
  .s0 { --c: #0969da } .s1 { --c: #bc4c00 } .s2 { --c: #1a7f37 } .s3 { --c: #8250df } .s4 { --c: #6e7781 }
  .mark { fill: var(--c) } .hollow { fill: none; stroke: var(--c); stroke-width: 2 }
  .spread { stroke: var(--c); stroke-width: 1.5 } .line { fill: none; stroke: var(--c); stroke-width: 1.5; stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #e6edf3 } .note { fill: #9198a1 } .grid { stroke: #30363d } .axis { stroke: #9198a1 }
    .s0 { --c: #58a6ff } .s1 { --c: #f0883e } .s2 { --c: #3fb950 } .s3 { --c: #bc8cff } .s4 { --c: #9198a1 }
  }`;

/**
 * Points on two axes. `x` and `y` are `{ label, isLog }`: a label has its unit. `series` are `{ name, points, line }`: points `{ x, y: { median, min, max } }`, and the corners of a line, if any. `notes` are lines below the axis.
 * Axes that are not logarithmic begin at zero; on logarithmic ones everything is above zero.
 */
export function drawChart({ title, notes = [], x, y, series }) {
  const height = 460;
  const plot = { left: 76, right: WIDTH - 24, top: topOf(series), bottom: height - 98 };
  const points = series.flatMap((each) => each.points);
  const lines = series.flatMap((each) => each.line ?? []);
  const across = makeScale(
    [...points, ...lines].map((point) => point.x),
    x,
    [plot.left, plot.right],
  );
  const heights = [
    ...points.flatMap(({ y: { median, min, max } }) => [median, min, max]),
    ...lines.map((point) => point.y),
  ];
  const up = makeScale(heights, y, [plot.bottom, plot.top]);
  const parts = [
    ...across.ticks.flatMap((tick) => [
      line("grid", [across.place(tick), plot.top], [across.place(tick), plot.bottom]),
      text("middle", [across.place(tick), plot.bottom + 20], showTick(tick)),
    ]),
    ...up.ticks.flatMap((tick) => [
      line("grid", [plot.left, up.place(tick)], [plot.right, up.place(tick)]),
      text("end", [plot.left - 8, up.place(tick) + 4], showTick(tick)),
    ]),
    line("axis", [plot.left, plot.bottom], [plot.right, plot.bottom]),
    line("axis", [plot.left, plot.top], [plot.left, plot.bottom]),
    text("middle", [(plot.left + plot.right) / 2, plot.bottom + 44], x.label),
    `<text transform="translate(20 ${(plot.top + plot.bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(y.label)}</text>`,
    ...series.map((each, index) => group(index, drawSeries(each, { across, up }, index))),
    ...drawLegend(series.map(({ name }) => name)),
  ];
  return drawing({ title, notes, height, parts });
}

/**
 * One row a name: a full dot with its spread for the first of `columns`, hollow ones for the others. `rows` are
 * `{ name, values }`, one summary for each column, `undefined` where there is none; `label` is the axis's, with its unit.
 */
export function drawRows({ title, notes = [], label, columns, rows, isLog = false }) {
  const rowHeight = 28;
  const left = Math.min(330, 24 + 7.2 * Math.max(...rows.map(({ name }) => name.length)));
  const top = topOf(columns);
  const plot = { left, right: WIDTH - 60, top, bottom: top + rowHeight * rows.length };
  const height = plot.bottom + 98;
  const numbers = rows.flatMap(({ values }) =>
    values.filter((value) => value !== undefined).flatMap(({ median, min, max }) => [median, min, max]),
  );
  const across = makeScale(numbers, { isLog }, [plot.left, plot.right]);
  const parts = [
    ...across.ticks.flatMap((tick) => [
      line("grid", [across.place(tick), plot.top], [across.place(tick), plot.bottom]),
      text("middle", [across.place(tick), plot.bottom + 20], showTick(tick)),
    ]),
    line("axis", [plot.left, plot.bottom], [plot.right, plot.bottom]),
    text("middle", [(plot.left + plot.right) / 2, plot.bottom + 44], label),
    ...rows.flatMap(({ name, values }, row) => {
      const middle = plot.top + rowHeight * (row + 0.5);
      return [
        text("end", [plot.left - 10, middle + 4], name),
        line("grid", [plot.left, middle], [plot.right, middle]),
        ...values.map((value, index) =>
          value === undefined ? "" : group(index, drawDot(value, { across, middle, index })),
        ),
      ];
    }),
    ...drawLegend(columns),
  ];
  return drawing({ title, notes, height, parts });
}

/** A scale with marks on round numbers that covers `numbers`; `place` maps onto `[from, to]`, in pixels. */
export function makeScale(numbers, { isLog = false }, [from, to]) {
  const low = Math.min(...numbers);
  const high = Math.max(...numbers);
  const ticks = isLog ? logTicks(low, high) : linearTicks(high);
  const [first, last] = [ticks[0], ticks[ticks.length - 1]];
  const share = isLog
    ? (value) => Math.log(value / first) / Math.log(last / first)
    : (value) => (value - first) / (last - first);
  return { ticks, place: (value) => from + share(value) * (to - from) };
}

/** Zero to `high` and beyond in steps of 1, 2 or 5 times a power of ten, about four. */
function linearTicks(high) {
  const top = high > 0 ? high : 1;
  const power = 10 ** Math.floor(Math.log10(top / MARKS));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => top / each <= MARKS + 1);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, index) => index * step);
}

/** Powers of ten around; where these are few, what lies between them at 2 and 5, too. */
function logTicks(low, high) {
  const decades = Math.log10(high / low);
  const factors = decades > 3 ? [1] : [1, 2, 5];
  const all = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)) + 1; power++)
    for (const factor of factors) all.push(Number(`${factor}e${power}`));
  const first = all.findLastIndex((tick) => tick <= low * 1.000001);
  const last = all.findIndex((tick) => tick >= high * 0.999999);
  return all.slice(first === last ? first - 1 : first, last + 1);
}

function drawSeries({ points, line: corners }, { across, up }, index) {
  const path = (corners ?? []).map(
    ({ x, y }, corner) => `${corner === 0 ? "M" : "L"}${at(across.place(x))} ${at(up.place(y))}`,
  );
  const sorted = [...points].sort((left, right) => left.x - right.x);
  return [
    path.length > 0 ? `<path class="line" d="${path.join("")}"/>` : "",
    ...sorted.flatMap(({ x, y: { median, min, max } }) => [
      line("spread", [across.place(x), up.place(min)], [across.place(x), up.place(max)]),
      mark([across.place(x), up.place(median)], index),
    ]),
  ];
}

function drawDot({ median, min, max }, { across, middle, index }) {
  return [
    line("spread", [across.place(min), middle], [across.place(max), middle]),
    mark([across.place(median), middle], index),
  ];
}

/** The first series has full marks, the others hollow ones of other shapes: colour alone does not tell them apart. */
function mark([x, y], index) {
  if (index === 0) return `<circle class="mark" cx="${at(x)}" cy="${at(y)}" r="5"/>`;
  if (index === 1) return `<rect class="hollow" x="${at(x - 4.5)}" y="${at(y - 4.5)}" width="9" height="9"/>`;
  if (index === 2) return `<circle class="hollow" cx="${at(x)}" cy="${at(y)}" r="5"/>`;
  return `<path class="hollow" d="M${at(x)} ${at(y - 6)}L${at(x + 6)} ${at(y + 4.5)}L${at(x - 6)} ${at(y + 4.5)}Z"/>`;
}

/** Room for the title, and for a legend where there is one. */
function topOf(names) {
  return names.length < 2 ? 58 : 84;
}

/** Round numbers short enough to stand side by side: 200, 5 k, 1 M. */
function showTick(value) {
  if (value >= 1e6) return `${showNumber(value / 1e6)} M`;
  return value >= 1000 ? `${showNumber(value / 1000)} k` : showNumber(value);
}

/** A single series needs no legend: the axis says what it is. */
function drawLegend(names) {
  if (names.length < 2) return [];
  let x = 28;
  return names.flatMap((name, index) => {
    const left = x;
    x += 30 + 7.2 * name.length;
    return [group(index, [mark([left, 62], index)]), text("start", [left + 12, 66], name)];
  });
}

function drawing({ title, notes, height, parts }) {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}" rx="6"/>`,
    `<text class="title" x="20" y="32">${escape(title)}</text>`,
    ...notes.map((note, index) => {
      const y = height - 12 - 16 * (notes.length - 1 - index);
      return `<text class="note" x="20" y="${y}">${escape(note)}</text>`;
    }),
    ...parts.filter((part) => part !== ""),
    "</svg>\n",
  ].join("\n");
}

function group(index, parts) {
  return `<g class="s${Math.min(index, 4)}">${parts.join("")}</g>`;
}

function line(name, [x1, y1], [x2, y2]) {
  return `<line class="${name}" x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}"/>`;
}

function text(anchor, [x, y], words) {
  return `<text x="${at(x)}" y="${at(y)}" text-anchor="${anchor}">${escape(words)}</text>`;
}

/** A tenth of a pixel is enough, and keeps files the same where sums round differently. */
function at(pixels) {
  return String(Math.round(pixels * 10) / 10);
}

function escape(words) {
  return words
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
