import type { Point, Summary } from "./_figures.mjs";

export interface Axis {
  readonly label: string;
  readonly isLog?: boolean;
}
export interface Series {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: Summary }[];
  readonly line?: readonly Point[];
}
export interface Scale {
  readonly ticks: readonly number[];
  place(value: number): number;
}
export function drawChart(chart: {
  readonly title: string;
  readonly notes?: readonly string[];
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}): string;
export function drawRows(chart: {
  readonly title: string;
  readonly notes?: readonly string[];
  readonly label: string;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly name: string; readonly values: readonly (Summary | undefined)[] }[];
  readonly isLog?: boolean;
}): string;
export function makeScale(
  numbers: readonly number[],
  options: { readonly isLog?: boolean },
  range: readonly [number, number],
): Scale;
