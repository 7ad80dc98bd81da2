/** Huffman codes as tables (RFC 1951, 3.2.2): one look gives what a code means, and how long it is. */
import {
  COUNTS,
  DISTANCE_BITS,
  DISTANCE_RESULTS,
  DISTANCE_TABLE,
  DISTANCE_TABLE_SIZE,
  LENGTH_CODE_BITS,
  LENGTH_CODE_RESULTS,
  LENGTH_CODE_TABLE,
  LENGTH_CODE_TABLE_SIZE,
  LITERAL_BITS,
  LITERAL_RESULTS,
  LITERAL_TABLE,
  LITERAL_TABLE_SIZE,
  OFFSETS,
  SORTED,
} from "./layout";

/**
 * A table's entry: what a symbol means ("result") plus its code length, twice.
 *   literal   bit 31; the byte in bits 16 to 23
 *   match     base of the length or distance from bit 16 on
 *   both      bits 8 to 11: the code's length; bits 0 to 7: that and the extra bits
 *   special   bit 15: with bit 14 the second-level table at (bits 16 to 31), indexed by (bits 8 to 13) bits; with bit 13
 *             the end of the block; with neither, no symbol
 */
export const LITERAL: u32 = 0x80000000;
export const SPECIAL: u32 = 0x8000;
export const SUBTABLE: u32 = 0x4000;
export const END: u32 = 0x2000;
const NO_SYMBOL: u32 = SPECIAL | 0x0101;

/** The table that is being built. */
let table: usize = 0;
let firstBits: i32 = 0;
let tableSize: i32 = 0;
/** What the symbols mean. */
let results: usize = 0;
/** The next symbol, in the order of codes. */
let sorted: usize = 0;

/** The code of literals and lengths, `symbolCount` of them. Returns as buildTable. */
export function buildLiterals(lengths: usize, symbolCount: u32, mayBeSparse: bool): i32 {
  select(LITERAL_TABLE, LITERAL_BITS, LITERAL_TABLE_SIZE, LITERAL_RESULTS);
  return buildTable(lengths, symbolCount, mayBeSparse);
}

/** The code of distances. Returns as buildTable. */
export function buildDistances(lengths: usize, symbolCount: u32, mayBeSparse: bool): i32 {
  select(DISTANCE_TABLE, DISTANCE_BITS, DISTANCE_TABLE_SIZE, DISTANCE_RESULTS);
  return buildTable(lengths, symbolCount, mayBeSparse);
}

/** The code of code lengths, all 19 symbols. Returns as buildTable. */
export function buildLengthCodes(lengths: usize): i32 {
  select(LENGTH_CODE_TABLE, LENGTH_CODE_BITS, LENGTH_CODE_TABLE_SIZE, LENGTH_CODE_RESULTS);
  return buildTable(lengths, 19, false);
}

/** Says which table is built from now on. */
function select(address: usize, bits: i32, size: i32, meanings: usize): void {
  table = address;
  firstBits = bits;
  tableSize = size;
  results = meanings;
}

/** RFC 1951, 3.2.5: what the symbols mean, once for all blocks. */
export function makeResults(): void {
  for (let symbol: u32 = 0; symbol < 256; symbol++)
    store<u32>(LITERAL_RESULTS + (symbol << 2), LITERAL | (symbol << 16));
  store<u32>(LITERAL_RESULTS + (256 << 2), SPECIAL | END);
  let base: u32 = 3;
  for (let index: u32 = 0; index < 28; index++) {
    const extra: u32 = index < 8 ? 0 : (index >> 2) - 1;
    store<u32>(LITERAL_RESULTS + ((257 + index) << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  store<u32>(LITERAL_RESULTS + (285 << 2), 258 << 16);
  // "Literal/length values 286-287 will never actually occur in the compressed data", nor do distances 30 and 31.
  store<u32>(LITERAL_RESULTS + (286 << 2), SPECIAL);
  store<u32>(LITERAL_RESULTS + (287 << 2), SPECIAL);
  base = 1;
  for (let index: u32 = 0; index < 30; index++) {
    const extra: u32 = index < 4 ? 0 : (index >> 1) - 1;
    store<u32>(DISTANCE_RESULTS + (index << 2), (base << 16) | extra);
    base += 1 << extra;
  }
  store<u32>(DISTANCE_RESULTS + (30 << 2), SPECIAL);
  store<u32>(DISTANCE_RESULTS + (31 << 2), SPECIAL);
  for (let symbol: u32 = 0; symbol < 19; symbol++)
    store<u32>(LENGTH_CODE_RESULTS + (symbol << 2), symbol << 16);
}

/**
 * Fills a table for the canonical code of these lengths (RFC 1951, 3.2.2), and returns the bits of its first level:
 * fewer than `firstBits` where no code is longer. Codes come in the order of their values, as bits are read: lowest bit first.
 * -1 for a code that is over-subscribed or not complete. With `mayBeSparse`, one code of one bit, or none, passes, as in
 * zlib: RFC 1951, 3.2.7 allows it for distances, and encoders use it for literals.
 */
function buildTable(lengths: usize, symbolCount: u32, mayBeSparse: bool): i32 {
  memory.fill(COUNTS, 0, 32);
  for (let symbol: u32 = 0; symbol < symbolCount; symbol++) {
    const count = COUNTS + ((<usize>load<u8>(lengths + symbol)) << 1);
    store<u16>(count, <u16>(<u32>load<u16>(count) + 1));
  }
  let longest: i32 = 15;
  while (longest > 1 && countOf(longest) == 0) longest--;
  if (firstBits > longest) firstBits = longest;
  const used = sortSymbols(lengths, symbolCount, longest);
  sorted = SORTED + ((<usize>countOf(0)) << 1);
  if (used == 1 << longest) return fillTable();
  if (!mayBeSparse || longest != 1 || used > 1) return -1;
  store<u32>(table, used == 1 ? nextEntry(1) : NO_SYMBOL);
  store<u32>(table + 4, NO_SYMBOL);
  return 1;
}

function countOf(length: i32): i32 {
  return load<u16>(COUNTS + ((<usize>length) << 1));
}

/** The entry of the next symbol in order, which has a code of `length` bits, those of the first level left out. */
function nextEntry(length: u32): u32 {
  const symbol = <usize>load<u16>(sorted);
  sorted += 2;
  return load<u32>(results + (symbol << 2)) + (length << 8) + length;
}

/** Sorts symbols by code length and value; returns how many codes of the longest length all of them take up. */
function sortSymbols(lengths: usize, symbolCount: u32, longest: i32): i32 {
  let used: i32 = 0;
  let offset: i32 = countOf(0);
  store<u16>(OFFSETS, 0);
  for (let length = 1; length <= longest; length++) {
    store<u16>(OFFSETS + ((<usize>length) << 1), <u16>offset);
    offset += countOf(length);
    used = (used << 1) + countOf(length);
  }
  for (let symbol: u32 = 0; symbol < symbolCount; symbol++) {
    const at = OFFSETS + ((<usize>load<u8>(lengths + symbol)) << 1);
    const rank = <u32>load<u16>(at);
    store<u16>(at, <u16>(rank + 1));
    store<u16>(SORTED + ((<usize>rank) << 1), <u16>symbol);
  }
  return used;
}

/** The code after `code` among those of `length` bits, both with their first bit lowest. */
function nextCode(code: u32, length: i32): u32 {
  const bit: u32 = 1 << (31 - clz(code ^ ((1 << length) - 1)));
  return (code & (bit - 1)) | bit;
}

/** The table of a complete code. */
function fillTable(): i32 {
  let code: u32 = 0;
  let length: i32 = 1;
  while (countOf(length) == 0) length++;
  let left = countOf(length);
  // What is filled is doubled at each step to the next length: a short code stands wherever its bits come first.
  let size: u32 = 1 << length;
  while (length <= firstBits) {
    store<u32>(table + ((<usize>code) << 2), nextEntry(length));
    if (code == (1 << length) - 1) return firstBits; // The last code: no other is longer, so length == firstBits.
    code = nextCode(code, length);
    left--;
    while (left == 0) {
      length++;
      left = countOf(length);
      if (length > firstBits) continue;
      memory.copy(table + ((<usize>size) << 2), table, size << 2);
      size <<= 1;
    }
  }
  return fillSubtables(code, length, left);
}

/** The codes that are longer than the first level: a table for each prefix, as large as its codes need. */
function fillSubtables(firstCode: u32, firstLength: i32, firstLeft: i32): i32 {
  const prefixMask: u32 = (1 << firstBits) - 1;
  let code = firstCode;
  let length = firstLength;
  let left = firstLeft;
  let prefix: u32 = 0xffffffff;
  let start: u32 = 0;
  let end: u32 = 1 << firstBits;
  while (true) {
    if ((code & prefixMask) != prefix) {
      prefix = code & prefixMask;
      const subtableBits = bitsOfSubtable(length, left);
      start = end;
      end = start + (1 << subtableBits);
      if (<i32>end > tableSize) return -1;
      const pointer = (start << 16) | SPECIAL | SUBTABLE | (subtableBits << 8) | firstBits;
      store<u32>(table + ((<usize>prefix) << 2), pointer);
    }
    const entry = nextEntry(length - firstBits);
    const stride: u32 = 1 << (length - firstBits);
    for (let index = start + (code >> firstBits); index < end; index += stride) {
      store<u32>(table + ((<usize>index) << 2), entry);
    }
    if (code == (1 << length) - 1) return firstBits;
    code = nextCode(code, length);
    left--;
    while (left == 0) {
      length++;
      left = countOf(length);
    }
  }
  return -1;
}

/** How many bits the next prefix's codes have at most behind it; `left` of them are `length` long. */
function bitsOfSubtable(length: i32, left: i32): i32 {
  let subtableBits = length - firstBits;
  for (let room = left; room < 1 << subtableBits;) {
    subtableBits++;
    room = (room << 1) + countOf(firstBits + subtableBits);
  }
  return subtableBits;
}
