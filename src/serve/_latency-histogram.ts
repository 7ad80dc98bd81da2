/**
 * Counts durations in buckets of 2 % from 100 ns to 10,000 s: fine enough to draw a distribution from, small enough
 * to be held for every tier and command. It takes no memory beyond its buckets, however much is recorded.
 */

/** The first bucket ends here; each decade above is divided alike. */
const SMALLEST_NS = 100;
const DECADE_COUNT = 11;
/**
 * A decade in hundredths of its start: up to `to` in steps of `step`. No step is wider than 2 % of where it begins, and
 * 1, 2 and 5 are ends of buckets, so a count up to such a bound is exact.
 */
const PARTS = [
  { from: 100, to: 200, step: 2, firstBucket: 0 },
  { from: 200, to: 500, step: 4, firstBucket: 50 },
  { from: 500, to: 1000, step: 10, firstBucket: 125 },
] as const;
const BUCKETS_PER_DECADE = 175;
/** One below the decades, one above. */
const BUCKET_COUNT: number = DECADE_COUNT * BUCKETS_PER_DECADE + 2;

/** A place where the distribution rises: `count` of all durations are at most `seconds` long. */
export interface DistributionPoint {
  readonly seconds: number;
  readonly count: number;
}

/** A distribution of durations. */
export class LatencyHistogram {
  readonly #buckets: Float64Array = new Float64Array(BUCKET_COUNT);
  #count = 0;
  #sumSeconds = 0;

  get count(): number {
    return this.#count;
  }

  get sumSeconds(): number {
    return this.#sumSeconds;
  }

  /** Counts one duration, to the nanosecond. */
  record(seconds: number): void {
    const index = bucketOf(seconds);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count++;
    this.#sumSeconds += seconds;
  }

  /** How many were at most so long; exact for 1, 2 and 5 times a power of ten from 100 ns. Bounds must rise. */
  countsUpTo(boundsSeconds: readonly number[]): readonly number[] {
    let index = 0;
    let count = 0;
    return boundsSeconds.map((bound) => {
      for (const last = bucketOf(bound); index <= last; index++) count += this.#buckets[index] ?? 0;
      return count;
    });
  }

  /** The ends of the buckets that are not empty. What is beyond all decades ends at Infinity. */
  points(): readonly DistributionPoint[] {
    const points: DistributionPoint[] = [];
    let count = 0;
    this.#buckets.forEach((inBucket, index) => {
      if (inBucket === 0) return;
      count += inBucket;
      points.push({ seconds: endSecondsOf(index), count });
    });
    return points;
  }

  /** The least time within which this part of all was done, at most 2 % too high; undefined while nothing is known. */
  quantile(part: number): number | undefined {
    return this.points().find(({ count }) => count >= part * this.#count)?.seconds;
  }
}

/** Buckets hold their end, as Prometheus has it. */
function bucketOf(seconds: number): number {
  const ns = Math.round(seconds * 1e9);
  if (!(ns > SMALLEST_NS)) return 0;
  let unit = SMALLEST_NS / 100;
  for (let first = 1; first < BUCKET_COUNT - 1; first += BUCKETS_PER_DECADE, unit *= 10) {
    if (ns > 1000 * unit) continue;
    const place = Math.ceil(ns / unit);
    const part = place <= 200 ? PARTS[0] : place <= 500 ? PARTS[1] : PARTS[2];
    return first + part.firstBucket + Math.ceil((place - part.from) / part.step) - 1;
  }
  return BUCKET_COUNT - 1;
}

function endSecondsOf(index: number): number {
  if (index === 0) return SMALLEST_NS / 1e9;
  if (index === BUCKET_COUNT - 1) return Infinity;
  const decade = Math.floor((index - 1) / BUCKETS_PER_DECADE);
  const bucket = (index - 1) % BUCKETS_PER_DECADE;
  const part = bucket < 50 ? PARTS[0] : bucket < 125 ? PARTS[1] : PARTS[2];
  const place = part.from + (bucket - part.firstBucket + 1) * part.step;
  return (place * (SMALLEST_NS / 100) * 10 ** decade) / 1e9;
}
