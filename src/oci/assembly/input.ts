/** The input, bit by bit, for block headers; loops that keep bits of their own begin and leave off here. */
import { INPUT } from "./layout";

/** Address of the next input byte that is not in the bit buffer; the host reads and sets it. */
export let inputAt: usize = INPUT;
/** Address behind the input. */
export let inputEnd: usize = INPUT;
/** Input bits, the next one lowest; those from `bitCount` on are zero. Fewer than eight between calls. */
export let bits: u64 = 0;
export let bitCount: i32 = 0;

export function setInputEnd(end: usize): void {
  inputEnd = end;
}

/** Sets what is read next: `count` bits of `buffer`, then what is at `from`. Whole bytes of them are put back. */
export function setNext(from: usize, buffer: u64, count: u64): void {
  inputAt = from - <usize>(count >> 3);
  bitCount = <i32>(count & 7);
  bits = buffer & (((<u64>1) << bitCount) - 1);
}

/** Puts bytes that were read ahead back; bits up to the next byte boundary are dropped. */
export function returnWholeBytes(): void {
  setNext(inputAt, 0, bitCount & ~7);
}

/** Behind the end of input it gives zeros, and `inputAt` passes the end. */
function needBits(count: i32): void {
  while (bitCount < count) {
    if (inputAt < inputEnd) bits |= (<u64>load<u8>(inputAt)) << bitCount;
    inputAt++;
    bitCount += 8;
  }
}

export function takeBits(count: i32): u32 {
  needBits(count);
  const value = (<u32>bits) & ((1 << count) - 1);
  dropBits(count);
  return value;
}

export function dropBits(count: i32): void {
  bits >>= count;
  bitCount -= count;
}
