/** The output: one after another in a ring, each with the window before it that its matches reach back to. */
import { crc32 } from "./crc32";
import { OUTPUT_BYTES_MAX, OUTPUT_MARGIN_BYTES, RING, RING_BYTES, WINDOW_BYTES } from "./layout";

/** Where output can stand, and how much room a step needs there. */
export const ringStart: usize = RING;
export const ringEnd: usize = RING + RING_BYTES;
export const outputRoomBytes: usize = OUTPUT_BYTES_MAX + OUTPUT_MARGIN_BYTES;

/** Where the output at hand begins. */
export let outputStart: usize = RING;
/** Address behind it. */
export let outputEnd: usize = RING;
/** CRC-32 of the member so far, of what was taken by take(). */
export let checksum: u32 = 0;
/** Where the member's output begins: no match reaches back beyond it. Below the window when that is full. */
export let memberStart: usize = RING;

/** Begins a member's output, behind that of the member before. */
export function beginOutput(): void {
  memberStart = outputEnd;
  checksum = 0;
}

export function setOutputEnd(end: usize): void {
  outputEnd = end;
}

/** The host has seen the output: counts it into the checksum. The next one comes behind it. */
export function take(): void {
  checksum = crc32(checksum, outputStart, outputEnd);
  outputStart = outputEnd;
}

/** The next output comes there, with a copy of the window before it. Call it after take(). */
export function moveOutput(to: usize): void {
  memory.copy(to - WINDOW_BYTES, outputEnd - WINDOW_BYTES, WINDOW_BYTES);
  const reach = outputEnd - memberStart;
  memberStart = to - (reach < WINDOW_BYTES ? reach : WINDOW_BYTES);
  outputStart = to;
  outputEnd = to;
}
