/** Sizes, and integer division that says how it rounds. */

export const KIB = 1024;
export const MIB: number = 1024 * KIB;
export const GIB: number = 1024 * MIB;
export const TIB: number = 1024 * GIB;

/** `dividend / divisor` rounded up; both non-negative safe integers. */
export function divCeil(dividend: number, divisor: number): number {
  return Math.floor((dividend + divisor - 1) / divisor);
}

/** `value` rounded up to a multiple of `unit`. */
export function alignUp(value: number, unit: number): number {
  return divCeil(value, unit) * unit;
}

/** Bytes for people: `1.5 MiB`. */
export function showBytes(sizeBytes: number): string {
  if (sizeBytes < KIB) return `${sizeBytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = sizeBytes / KIB;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0)} ${units[unit] ?? ""}`;
}
