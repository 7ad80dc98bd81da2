/** Huffman codes as tables (RFC 1951, 3.2.2): one look gives what a code means, and how long it is. */
import {
  BASE_SHIFT,
  BUFFER_SHIFT,
  END,
  EXTRA_SHIFT,
  LITERAL_BITS_TAKEN,
  LITERAL_COUNT,
  LITERAL_COUNT_SHIFT,
  LITERAL_SHIFT,
  SPECIAL,
  START_SHIFT,
  SUBTABLE,
} from "./entry";
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

/** The table that is being built. */
let table: usize = 0;
let firstBits: i32 = 0;
let tableSize: i32 = 0;
/** How many bits higher than elsewhere an entry's fields stand. */
let fieldShift: u32 = 0;
/** What the symbols mean. */
let results: usize = 0;
/** The next symbol, in the order of codes. */
let sorted: usize = 0;

/**
 * The code of literals and lengths, `symbolCount` of them. Returns as buildTable. `isLong` says that the block is likely to
 * have many symbols.
 */
export function buildLiterals(lengths: usize, symbolCount: u32, mayBeSparse: bool, isLong: bool): bool {
  choose(LITERAL_TABLE, LITERAL_BITS, LITERAL_TABLE_SIZE, LITERAL_RESULTS);
  fieldShift = LITERAL_SHIFT;
  if (!buildTable(lengths, symbolCount, mayBeSparse)) return false;
  if (isLong && shareOfShortLiterals() >= PAIRING_SHARE_MIN) pairLiterals();
  return true;
}

/** The code of distances. Returns as buildTable. */
export function buildDistances(lengths: usize, symbolCount: u32, mayBeSparse: bool): bool {
  choose(DISTANCE_TABLE, DISTANCE_BITS, DISTANCE_TABLE_SIZE, DISTANCE_RESULTS);
  return buildTable(lengths, symbolCount, mayBeSparse);
}

/** The code of code lengths, all 19 symbols. Returns as buildTable. */
export function buildLengthCodes(lengths: usize): bool {
  choose(LENGTH_CODE_TABLE, LENGTH_CODE_BITS, LENGTH_CODE_TABLE_SIZE, LENGTH_CODE_RESULTS);
  return buildTable(lengths, 19, false);
}

/** Says which table is built from now on. */
function choose(address: usize, bits: i32, size: i32, meanings: usize): void {
  table = address;
  firstBits = bits;
  tableSize = size;
  results = meanings;
  fieldShift = 0;
}

/** RFC 1951, 3.2.5: what the symbols mean, once for all blocks. */
export function makeResults(): void {
  for (let symbol: u32 = 0; symbol < 256; symbol++)
    store<u32>(LITERAL_RESULTS + (symbol << 2), (1 << LITERAL_COUNT_SHIFT) | (symbol << LITERAL_SHIFT));
  store<u32>(LITERAL_RESULTS + (256 << 2), SPECIAL | END);
  let base: u32 = 3;
  for (let index: u32 = 0; index < 28; index++) {
    const extra: u32 = index < 8 ? 0 : (index >> 2) - 1;
    store<u32>(LITERAL_RESULTS + ((257 + index) << 2), valueResult(base, extra) << LITERAL_SHIFT);
    base += 1 << extra;
  }
  store<u32>(LITERAL_RESULTS + (285 << 2), valueResult(258, 0) << LITERAL_SHIFT);
  // "Literal/length values 286-287 will never actually occur in the compressed data", nor do distances 30 and 31.
  store<u32>(LITERAL_RESULTS + (286 << 2), SPECIAL);
  store<u32>(LITERAL_RESULTS + (287 << 2), SPECIAL);
  base = 1;
  for (let index: u32 = 0; index < 30; index++) {
    const extra: u32 = index < 4 ? 0 : (index >> 1) - 1;
    store<u32>(DISTANCE_RESULTS + (index << 2), valueResult(base, extra));
    base += 1 << extra;
  }
  store<u32>(DISTANCE_RESULTS + (30 << 2), SPECIAL);
  store<u32>(DISTANCE_RESULTS + (31 << 2), SPECIAL);
  for (let symbol: u32 = 0; symbol < 19; symbol++)
    store<u32>(LENGTH_CODE_RESULTS + (symbol << 2), valueResult(symbol, 0));
}

function valueResult(base: u32, extra: u32): u32 {
  return (base << BASE_SHIFT) | ((63 - extra) << EXTRA_SHIFT) | extra;
}

/**
 * Fills a table for the canonical code of these lengths (RFC 1951, 3.2.2). Codes come in the order of their values, as
 * bits are read: lowest bit first. False for a code that is over-subscribed or not complete. With `mayBeSparse`, one code of
 * one bit, or none, passes, as in zlib: RFC 1951, 3.2.7 allows it for distances, and encoders use it for literals.
 */
function buildTable(lengths: usize, symbolCount: u32, mayBeSparse: bool): bool {
  memory.fill(COUNTS, 0, 32);
  for (let symbol: u32 = 0; symbol < symbolCount; symbol++) {
    const count = COUNTS + ((<usize>load<u8>(lengths + symbol)) << 1);
    store<u16>(count, <u16>(<u32>load<u16>(count) + 1));
  }
  let longest: i32 = 15;
  while (longest > 1 && countOf(longest) == 0) longest--;
  const used = sortSymbols(lengths, symbolCount, longest);
  sorted = SORTED + ((<usize>countOf(0)) << 1);
  if (used == 1 << longest) return fillTable();
  if (!mayBeSparse || longest != 1 || used > 1) return false;
  const noSymbol = SPECIAL | (1 << fieldShift);
  store<u32>(table, used == 1 ? nextEntry(1) : noSymbol);
  store<u32>(table + 4, noSymbol);
  widen(1);
  return true;
}

function countOf(length: i32): i32 {
  return load<u16>(COUNTS + ((<usize>length) << 1));
}

/** The entry of the next symbol in order, which has a code of `length` bits, those of the first level left out. */
function nextEntry(length: u32): u32 {
  const symbol = <usize>load<u16>(sorted);
  sorted += 2;
  const result = load<u32>(results + (symbol << 2));
  // Of a literal, the bits are in the lowest place always.
  return result + (result & LITERAL_COUNT ? length : length << fieldShift);
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

/** Makes a table of `bits` bits one of the first level: what is behind a short code does not matter. */
function widen(bits: i32): void {
  for (; bits < firstBits; bits++) memory.copy(table + ((<usize>4) << bits), table, 4 << bits);
}

/** The table of a complete code. False if it does not fit. */
function fillTable(): bool {
  let code: u32 = 0;
  let length: i32 = 1;
  while (countOf(length) == 0) length++;
  let left = countOf(length);
  // What is filled is doubled at each step to the next length: a short code stands wherever its bits come first.
  let size: u32 = 1 << length;
  while (length <= firstBits) {
    store<u32>(table + ((<usize>code) << 2), nextEntry(length));
    if (code == (1 << length) - 1) {
      widen(length); // The last code: no other is longer.
      return true;
    }
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
function fillSubtables(firstCode: u32, firstLength: i32, firstLeft: i32): bool {
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
      if (<i32>end > tableSize) return false;
      const pointer = (start << START_SHIFT) | ((subtableBits + BUFFER_SHIFT) << EXTRA_SHIFT) | firstBits;
      store<u32>(table + ((<usize>prefix) << 2), SPECIAL | SUBTABLE | (pointer << fieldShift));
    }
    const entry = nextEntry(length - firstBits);
    const stride: u32 = 1 << (length - firstBits);
    for (let index = start + (code >> firstBits); index < end; index += stride) {
      store<u32>(table + ((<usize>index) << 2), entry);
    }
    if (code == (1 << length) - 1) return true;
    code = nextCode(code, length);
    left--;
    while (left == 0) {
      length++;
      left = countOf(length);
    }
  }
  return false;
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

/** Pairing pays where a quarter of what comes are literals of so few bits: random bytes have 8, text has 4 to 6. */
const SHORT_LITERAL_BITS: i32 = 5;
const PAIRING_SHARE_MIN: u32 = 8;

/** How often literals with a short code come, by the lengths of their codes, in 1/32. The code is the one built last. */
function shareOfShortLiterals(): u32 {
  let at = SORTED + ((<usize>countOf(0)) << 1);
  let share: u32 = 0;
  for (let length = 1; length <= SHORT_LITERAL_BITS; length++) {
    for (let left = countOf(length); left > 0; left--) {
      if (load<u16>(at) < 256) share += 1 << (SHORT_LITERAL_BITS - length);
      at += 2;
    }
  }
  return share;
}

/**
 * Joins entries of two literals whose codes fit into one look. The second one's entry is no pair yet, as it has a lower
 * index. There is no branch, as chance would decide it.
 */
function pairLiterals(): void {
  for (let index = (1 << LITERAL_BITS) - 1; index >= 0; index--) {
    const entry = load<u32>((<usize>index) << 2, LITERAL_TABLE);
    const next = load<u32>(((<usize>index) >> (entry & LITERAL_BITS_TAKEN)) << 2, LITERAL_TABLE);
    // Both counts and both numbers of bits in one sum; it has a count of two where both are literals.
    const sum = entry + (next & (LITERAL_BITS_TAKEN | LITERAL_COUNT));
    const isPair =
      (sum & (LITERAL_BITS_TAKEN | LITERAL_COUNT)) - (2 << LITERAL_COUNT_SHIFT) <= <u32>LITERAL_BITS;
    const pair = sum + ((next & (0xff << LITERAL_SHIFT)) << 8);
    store<u32>((<usize>index) << 2, select<u32>(pair, entry, isPair), LITERAL_TABLE);
  }
}
