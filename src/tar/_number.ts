/**
 * Numbers as tars write them: octal and base-256 fields, decimal PAX values, PAX times. What is no number is NaN;
 * what is one but beyond the safe integers is an infinity, so that each field can say its own limit.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Timestamp } from "./entry.ts";

const SPACE = 0x20;
const NANOSECOND_DIGITS = 9;

/** The number in the field of `sizeBytes` bytes at `offset`; NaN or an infinity as the file's header says. */
export function parseField(block: Uint8Array, offset: number, sizeBytes: number): number {
  return (block[offset] ?? 0) & 0x80
    ? parseBase256(block, offset, sizeBytes)
    : parseOctal(block, offset, sizeBytes);
}

/**
 * POSIX ustar: octal digits, ended by one or more spaces or NULs; old tars also lead with them, and leave unused
 * fields blank, which counts as 0. What comes after a NUL is not looked at, as in Go's reader.
 */
function parseOctal(block: Uint8Array, offset: number, sizeBytes: number): number {
  const end = offset + sizeBytes;
  let at = offset;
  while (at < end && (block[at] === SPACE || block[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = (block[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit; // At most 12 digits: 36 bits.
  }
  while (at < end && block[at] === SPACE) at++;
  return at === end || block[at] === 0 ? value : NaN;
}

/**
 * GNU tar "base-256": the first bit is a mark, the others are a big-endian two's complement number.
 * Uses -a - 1 = ~a, so that both signs add up a magnitude.
 */
function parseBase256(block: Uint8Array, offset: number, sizeBytes: number): number {
  const isNegative = ((block[offset] ?? 0) & 0x40) !== 0;
  const inversion = isNegative ? 0xff : 0;
  let value = ((block[offset] ?? 0) ^ inversion) & 0x7f;
  for (let i = 1; i < sizeBytes; i++) {
    value = value * 256 + ((block[offset + i] ?? 0) ^ inversion);
    // Sticks once passed: 2^53 times 256 and more only grows, so no lost bit can bring it back.
    if (value > Number.MAX_SAFE_INTEGER) return isNegative ? -Infinity : Infinity;
  }
  return isNegative ? -1 - value : value;
}

/** A decimal PAX number with an optional minus; NaN or an infinity as the file's header says. */
export function parseDecimal(text: ByteString): number {
  if (!/^-?[0-9]+$/.test(text)) return NaN;
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value + 0 === 0 ? 0 : value; // Not -0.
  return value < 0 ? -Infinity : Infinity;
}

/**
 * POSIX pax "mtime": seconds since 1970 as a decimal with sign and fraction. Rounds down to nanoseconds, also below
 * zero (as GNU tar). `undefined` for what is no such number or whose seconds are not a safe integer.
 */
export function parsePaxTime(text: ByteString): Timestamp | undefined {
  const match = /^([+-]?)([0-9]+)(?:\.([0-9]*))?$/.exec(text);
  if (!match) return undefined;
  const isNegative = match[1] === "-";
  const whole = Number(match[2]);
  const fraction = match[3] ?? "";
  let nanoseconds = Number(fraction.slice(0, NANOSECOND_DIGITS).padEnd(NANOSECOND_DIGITS, "0"));
  if (isNegative && /[1-9]/.test(fraction.slice(NANOSECOND_DIGITS))) nanoseconds++;
  const borrow = isNegative && nanoseconds > 0 ? 1 : 0;
  const seconds = isNegative ? 0 - whole - borrow : whole;
  if (!Number.isSafeInteger(whole) || !Number.isSafeInteger(seconds)) return undefined;
  return { seconds, nanoseconds: borrow === 1 ? 1_000_000_000 - nanoseconds : nanoseconds };
}

/** The number for a message: what is beyond the safe integers is not shown as if it were exact. */
export function showNumber(value: number): string {
  if (Number.isNaN(value)) return "no number";
  if (value === Infinity) return "a number above 2^53 - 1";
  return value === -Infinity ? "a number below -(2^53 - 1)" : String(value);
}
