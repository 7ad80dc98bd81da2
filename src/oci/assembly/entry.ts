/**
 * The entries of tables: what a symbol means, and how many bits it takes.
 *
 * An entry has 32 bits. In the tables of distances and of code lengths these are
 *   0 to 5     how many bits the code and its extra bits have
 *   6 to 11    63 less the number of extra bits
 *   12 to 26   the base of the distance, or the code length symbol
 *   30, 31     SUBTABLE and SPECIAL: no symbol follows from this look alone, or none at all
 * or, where SUBTABLE is set, with a table of the second level behind it,
 *   0 to 5     how many bits the first look took
 *   6 to 9     how many bits the second one takes, and BUFFER_SHIFT
 *   10 to 21   where that table begins
 *
 * In the table of literals and lengths all of this stands eight bits higher, but for the flags. Below, and for literals
 * in its place, is what one literal means, or two of them whose codes follow each other:
 *   0 to 5     how many bits their codes have; 0 for anything else
 *   6 to 7     how many literals; 0 for anything else
 *   8 to 23    the literals
 * So every entry can be taken as literals first, without asking whether it is any: if not, that does nothing.
 */
import { DISTANCE_BITS, DISTANCE_TABLE, LITERAL_BITS, LITERAL_TABLE } from "./layout";

export const LITERAL_BITS_TAKEN: u32 = 0x3f;
export const LITERAL_COUNT: u32 = 0xc0;
export const LITERAL_COUNT_SHIFT: u32 = 6;
export const LITERAL_SHIFT: u32 = 8;
export const EXTRA_SHIFT: u32 = 6;
export const BASE_SHIFT: u32 = 12;
export const START_SHIFT: u32 = 10;
export const SPECIAL: u32 = 0x80000000;
export const SUBTABLE: u32 = 0x40000000;
/** With SPECIAL: the end of the block. */
export const END: u32 = 0x20000000;

/** The next bit of a buffer is this one: what is masked is the offset of an entry of four bytes, then, without a shift. */
export const BUFFER_SHIFT: u32 = 2;

const LITERAL_MASK: usize = ((1 << LITERAL_BITS) - 1) << BUFFER_SHIFT;
const DISTANCE_MASK: usize = ((1 << DISTANCE_BITS) - 1) << BUFFER_SHIFT;

/** The entry for the literal or length that comes next. */
export function lookUpLiteral(buffer: u64): u64 {
  return load<u32>((<usize>buffer) & LITERAL_MASK, LITERAL_TABLE);
}

/** The entry for the distance that comes next. */
export function lookUpDistance(buffer: u64): u64 {
  return load<u32>((<usize>buffer) & DISTANCE_MASK, DISTANCE_TABLE);
}

/** The second look, for a literal or length. `pointer` is the first one's entry, eight bits lower; its bits are dropped. */
export function lookUpLongLiteral(buffer: u64, pointer: u64): u64 {
  return load<u32>(offsetBehind(buffer, pointer), LITERAL_TABLE);
}

/** The second look, for a distance. */
export function lookUpLongDistance(buffer: u64, pointer: u64): u64 {
  return load<u32>(offsetBehind(buffer, pointer), DISTANCE_TABLE);
}

function offsetBehind(buffer: u64, pointer: u64): usize {
  const start = ((<usize>(pointer >> START_SHIFT)) & 0xfff) << BUFFER_SHIFT;
  const end: usize = 1 << ((<usize>(pointer >> EXTRA_SHIFT)) & 0xf);
  return start + ((<usize>buffer) & (end - (1 << BUFFER_SHIFT)));
}

/** A length or distance: the base and the extra bits, which follow the code with which `buffer` begins. */
export function valueOf(buffer: u64, entry: u64): usize {
  // Up to the top, then down again; shifts count modulo 64, so 64 less the number of extra bits is shifted in two steps.
  const extra = ((buffer << (64 - BUFFER_SHIFT - entry)) >> 1) >> (entry >> EXTRA_SHIFT);
  return <usize>(entry >> BASE_SHIFT) + <usize>extra;
}
