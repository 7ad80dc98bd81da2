export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}
export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Line {
  readonly intercept: number;
  readonly slope: number;
  readonly deviations: readonly number[];
}
export function summarize(numbers: readonly number[]): Summary;
export function summarizeRatios(ours: readonly number[], theirs: readonly number[]): Summary;
export function fitLine(points: readonly Point[]): Line | undefined;
export function showNumber(value: number): string;
export function showSpread(summary: Summary): string;
export function showShift(share: number): string;
