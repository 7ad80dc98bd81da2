// What the benchmarks say of their numbers: medians with their spread, ratios turn by turn, straight lines.

/** The median, the least and the greatest of some numbers, of which there is at least one. */
export function summarize(numbers) {
  if (numbers.length === 0) throw new RangeError("no number has no median");
  const sorted = [...numbers].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
}

/**
 * `ours[i] / theirs[i]`, summarized. Both were measured in the same turn, so what slows a whole turn (a disk that is busy)
 * is in both and leaves the ratio alone.
 */
export function summarizeRatios(ours, theirs) {
  return summarize(ours.map((value, turn) => value / theirs[turn]));
}

/**
 * The line `y = intercept + slope * x` with the least sum of squared relative deviations: each point counts alike, the one
 * of 0.1 GiB as much as the one of 10. `deviations` are measured / fitted - 1. All `y` are above zero. `undefined` for
 * fewer than three different `x`: through two points there is always a line, so it says nothing.
 */
export function fitLine(points) {
  if (new Set(points.map(({ x }) => x)).size < 3) return undefined;
  // Least squares of (intercept + slope * x) / y - 1: the normal equations of weights 1 / y².
  const sum = (term) => points.reduce((total, { x, y }) => total + term(x, y) / (y * y), 0);
  const [w, wx, wxx, wy, wxy] = [() => 1, (x) => x, (x) => x * x, (_, y) => y, (x, y) => x * y].map(sum);
  const slope = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const intercept = (wy - slope * wx) / w;
  const deviations = points.map(({ x, y }) => y / (intercept + slope * x) - 1);
  return { intercept, slope, deviations };
}

/** Three significant digits, without an exponent: 0.0123, 4.57, 123, 45600. */
export function showNumber(value) {
  if (!Number.isFinite(value)) return "-";
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) >= 100
    ? String(Math.round(rounded))
    : trimZeros(rounded.toFixed(digitsOf(rounded)));
}

/** `1.23 (1.11 to 1.42)`. */
export function showSpread({ median, min, max }) {
  return `${showNumber(median)} (${showNumber(min)} to ${showNumber(max)})`;
}

/** A signed percentage: +3.1 %. */
export function showShift(share) {
  return `${share < 0 ? "-" : "+"}${Math.abs(100 * share).toFixed(1)} %`;
}

/** Digits behind the point that three significant ones need. */
function digitsOf(value) {
  return value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
}

function trimZeros(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
