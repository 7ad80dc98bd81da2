/**
 * Inflate (RFC 1951) and CRC-32 (RFC 1952, section 8) in AssemblyScript: `npm run wasm` makes src/oci/_inflate-code.ts of it.
 *
 * node:zlib allocates each piece of its output anew, hands it over between threads, and its inflate is slower than this
 * one (docs/decisions/0012-inflate.md). Here everything lies in one memory of fixed size, which is all that damaged input
 * can reach: no pointer of this file leads out of it.
 *
 * The host (src/oci/_inflater.ts) writes compressed bytes to the input and takes plain ones from the output. A word is
 * read at a time, and a match is written in steps of up to 16 bytes, so both have a margin behind them.
 */

import {
  buildDistances,
  buildLengthCodes,
  buildLiterals,
  END,
  LITERAL,
  makeResults,
  SPECIAL,
  SUBTABLE,
} from "./codes";
import { crc32, makeCrcTables } from "./crc32";
import {
  CODE_LENGTHS,
  DISTANCE_BITS,
  DISTANCE_TABLE,
  INPUT,
  INPUT_BYTES_MAX,
  LENGTH_CODE_BITS,
  LENGTH_CODE_TABLE,
  LENGTHS,
  LITERAL_BITS,
  LITERAL_TABLE,
  OUTPUT,
  OUTPUT_BYTES_MAX,
  WINDOW_BYTES,
} from "./layout";
import { copyMatch, extraBits } from "./match";

/** RFC 1951, 3.2.7: at most so many codes for literals and lengths, and for distances, may be announced. */
const LITERAL_CODES_MAX: u32 = 286;
const DISTANCE_CODES_MAX: u32 = 30;
/** No block header is longer: 17 bits, 19 lengths of 3, 320 code lengths of 7 bits and 7 more. Rounded up. */
const HEADER_BYTES_MAX: usize = 640;
/** The fast loop reads at most two words of 8 bytes before it looks again. */
const INPUT_MARGIN_BYTES: usize = 32;

/** Where the host writes input, and how much fits. Behind what it has written last it keeps INPUT_MARGIN_BYTES of zeros. */
export const inputStart: usize = INPUT;
export const inputBytesMax: usize = INPUT_BYTES_MAX;
/** Where output is found. What stands before it is the window that later matches reach back to. */
export const outputStart: usize = OUTPUT;

// What inflate() answers. Failures are negative.
const NEED_INPUT: i32 = 0;
const OUTPUT_FULL: i32 = 1;
const MEMBER_END: i32 = 2;
const BLOCK_END: i32 = 3; // only inside of this file
const TRUNCATED: i32 = -1;
const BAD_BLOCK_TYPE: i32 = -2;
const BAD_STORED_LENGTH: i32 = -3;
const BAD_CODE_COUNT: i32 = -4;
const BAD_CODE_LENGTHS: i32 = -5;
const BAD_REPEAT: i32 = -6;
const NO_END_CODE: i32 = -7;
const BAD_LITERAL_CODES: i32 = -8;
const BAD_DISTANCE_CODES: i32 = -9;
const BAD_LITERAL_SYMBOL: i32 = -10;
const BAD_DISTANCE_SYMBOL: i32 = -11;
const DISTANCE_TOO_FAR: i32 = -12;

const IN_HEADER: i32 = 0;
const IN_STORED: i32 = 1;
const IN_CODES: i32 = 2;

/** Address of the next input byte that is not in the bit buffer; the host reads and sets it. */
export let inputAt: usize = inputStart;
/** Address behind the output. */
export let outputEnd: usize = outputStart;
/** CRC-32 of the member so far, of what was taken by slide(). */
export let checksum: u32 = 0;

/** Address behind the input. */
let inputEnd: usize = inputStart;
/** Input bits, the next one lowest; those from `bitCount` on are zero. Fewer than eight between calls. */
let bits: u64 = 0;
let bitCount: i32 = 0;
let place: i32 = IN_HEADER;
let isLastBlock: bool = false;
let storedBytesLeft: usize = 0;
let literalBits: i32 = LITERAL_BITS;
let distanceBits: i32 = DISTANCE_BITS;
/** Where the member's output begins: no match reaches back beyond it. Below the window when that is full. */
let memberStart: usize = outputStart;
let hasTables: bool = false;

/** RFC 1951, 3.2.7: the order in which the lengths of code length codes come. */
const LENGTH_CODE_ORDER: usize = memory.data<u8>([
  16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
]);

/** Begins a member: its matches reach back to here at most. */
export function beginMember(): void {
  if (!hasTables) {
    makeResults();
    makeCrcTables();
  }
  hasTables = true;
  bits = 0;
  bitCount = 0;
  place = IN_HEADER;
  isLastBlock = false;
  memberStart = outputEnd;
  checksum = 0;
}

/** The host has taken the output: keeps the window of it, and counts it into the checksum. */
export function slide(): void {
  checksum = crc32(checksum, memberStart > outputStart ? memberStart : outputStart, outputEnd);
  const outputBytes = outputEnd - outputStart;
  memory.copy(outputStart - WINDOW_BYTES, outputEnd - WINDOW_BYTES, WINDOW_BYTES);
  outputEnd = outputStart;
  const oldest = outputStart - WINDOW_BYTES;
  memberStart = memberStart - outputBytes > oldest ? memberStart - outputBytes : oldest;
}

/**
 * Goes on with the member. `end` is the address behind the input; `isAll` says that no more of it comes.
 * After MEMBER_END, `inputAt` is behind the deflate data's last byte.
 */
export function inflate(end: usize, isAll: bool): i32 {
  inputEnd = end;
  const outputLimit = OUTPUT + OUTPUT_BYTES_MAX;
  let status = NEED_INPUT;
  do {
    if (place == IN_HEADER && isLastBlock) {
      returnWholeBytes();
      return inputAt > inputEnd ? TRUNCATED : MEMBER_END;
    }
    if (place == IN_HEADER) status = isAll || inputEnd - inputAt >= HEADER_BYTES_MAX ? header() : NEED_INPUT;
    else if (place == IN_STORED) status = copyStored(isAll, outputLimit);
    else status = inflateCodes(isAll, outputLimit);
  } while (status == BLOCK_END);
  return status;
}

/** Puts bytes that were read ahead back; bits up to the next byte boundary are dropped. */
function returnWholeBytes(): void {
  inputAt -= <usize>(bitCount >> 3);
  bits = 0;
  bitCount = 0;
}

/** Behind the end of input it gives zeros, and `inputAt` passes the end. */
function needBits(count: i32): void {
  while (bitCount < count) {
    if (inputAt < inputEnd) bits |= (<u64>load<u8>(inputAt)) << bitCount;
    inputAt++;
    bitCount += 8;
  }
}

function takeBits(count: i32): u32 {
  needBits(count);
  const value = (<u32>bits) & ((1 << count) - 1);
  dropBits(count);
  return value;
}

function dropBits(count: i32): void {
  bits >>= count;
  bitCount -= count;
}

/** RFC 1951, 3.2.3. */
function header(): i32 {
  isLastBlock = takeBits(1) == 1;
  const type = takeBits(2);
  let status = BAD_BLOCK_TYPE;
  if (type == 0) status = storedHeader();
  else if (type == 1) status = fixedCodes();
  else if (type == 2) status = dynamicCodes();
  return inputAt - <usize>(bitCount >> 3) > inputEnd ? TRUNCATED : status;
}

/** RFC 1951, 3.2.4. */
function storedHeader(): i32 {
  dropBits(bitCount & 7);
  const length = takeBits(16);
  const complement = takeBits(16);
  if ((length ^ complement) != 0xffff) return BAD_STORED_LENGTH;
  storedBytesLeft = length;
  returnWholeBytes();
  place = IN_STORED;
  return BLOCK_END;
}

function copyStored(isAll: bool, outputLimit: usize): i32 {
  // A match before this block may have gone past the limit.
  if (outputEnd >= outputLimit) return OUTPUT_FULL;
  let size = storedBytesLeft;
  if (size > inputEnd - inputAt) size = inputEnd - inputAt;
  if (size > outputLimit - outputEnd) size = outputLimit - outputEnd;
  memory.copy(outputEnd, inputAt, size);
  inputAt += size;
  outputEnd += size;
  storedBytesLeft -= size;
  if (storedBytesLeft == 0) {
    place = IN_HEADER;
    return BLOCK_END;
  }
  if (outputEnd >= outputLimit) return OUTPUT_FULL;
  return isAll ? TRUNCATED : NEED_INPUT;
}

/** RFC 1951, 3.2.6. */
function fixedCodes(): i32 {
  memory.fill(LENGTHS, 8, 144);
  memory.fill(LENGTHS + 144, 9, 112);
  memory.fill(LENGTHS + 256, 7, 24);
  memory.fill(LENGTHS + 280, 8, 8);
  literalBits = buildLiterals(LENGTHS, 288, false);
  memory.fill(LENGTHS, 5, 32);
  distanceBits = buildDistances(LENGTHS, 32, false);
  place = IN_CODES;
  return BLOCK_END;
}

/** RFC 1951, 3.2.7. */
function dynamicCodes(): i32 {
  const literalCount = takeBits(5) + 257;
  const distanceCount = takeBits(5) + 1;
  const lengthCodeCount = takeBits(4) + 4;
  if (literalCount > LITERAL_CODES_MAX || distanceCount > DISTANCE_CODES_MAX) return BAD_CODE_COUNT;
  memory.fill(CODE_LENGTHS, 0, 19);
  for (let index: u32 = 0; index < lengthCodeCount; index++) {
    store<u8>(CODE_LENGTHS + load<u8>(LENGTH_CODE_ORDER + index), <u8>takeBits(3));
  }
  const status = readLengths(literalCount + distanceCount);
  if (status != BLOCK_END) return status;
  if (load<u8>(LENGTHS + 256) == 0) return NO_END_CODE;
  literalBits = buildLiterals(LENGTHS, literalCount, true);
  if (literalBits < 0) return BAD_LITERAL_CODES;
  distanceBits = buildDistances(LENGTHS + literalCount, distanceCount, true);
  if (distanceBits < 0) return BAD_DISTANCE_CODES;
  place = IN_CODES;
  return BLOCK_END;
}

/** Reads the code lengths of literals and distances, which are one sequence: a repetition may span both. */
function readLengths(count: u32): i32 {
  const tableBits = buildLengthCodes(CODE_LENGTHS);
  if (tableBits < 0) return BAD_CODE_LENGTHS;
  for (let index: u32 = 0; index < count;) {
    needBits(LENGTH_CODE_BITS);
    const entry = load<u32>(LENGTH_CODE_TABLE + ((<usize>((<u32>bits) & ((1 << tableBits) - 1))) << 2));
    dropBits(entry & 0xff);
    const symbol = entry >> 16;
    if (symbol < 16) {
      store<u8>(LENGTHS + index, <u8>symbol);
      index++;
      continue;
    }
    if (symbol == 16 && index == 0) return BAD_REPEAT;
    const value: u8 = symbol == 16 ? load<u8>(LENGTHS + index - 1) : 0;
    let repeat: u32 = 0;
    if (symbol == 16) repeat = 3 + takeBits(2);
    else if (symbol == 17) repeat = 3 + takeBits(3);
    else repeat = 11 + takeBits(7);
    if (index + repeat > count) return BAD_REPEAT;
    memory.fill(LENGTHS + index, value, repeat);
    index += repeat;
  }
  return BLOCK_END;
}

/**
 * Literals and matches (RFC 1951, 3.2.3) until the block, the input but for its margin, or the room for output ends.
 *
 * The bit buffer is filled to at least 56 bits by one load, which may read bits again that are there already: they are
 * the same, so they are or-ed onto themselves. 56 bits are three literals (33), or a length and a distance (20 + 28).
 */
function inflateCodes(isAll: bool, outputLimit: usize): i32 {
  const literalMask: u64 = (1 << literalBits) - 1;
  const distanceMask: u64 = (1 << distanceBits) - 1;
  const inputSafe = inputEnd - INPUT_MARGIN_BYTES;
  const oldest = memberStart;
  let buffer = bits;
  let count = bitCount;
  let from = inputAt;
  let to = outputEnd;
  let entry: u32 = 0;
  let saved: u64 = 0;
  let status = NEED_INPUT;
  while (true) {
    if (to >= outputLimit) {
      status = OUTPUT_FULL;
      break;
    }
    if (from > inputSafe) {
      if (!isAll) break;
      // Zeros are read behind the end, byte by byte of the margin: the truth is what was taken of them.
      if (from - <usize>(count >> 3) > inputEnd) {
        status = TRUNCATED;
        break;
      }
    }
    buffer |= load<u64>(from) << count;
    from += (63 - count) >> 3;
    count |= 56;
    entry = load<u32>(LITERAL_TABLE + ((<usize>(buffer & literalMask)) << 2));
    if (entry & LITERAL) {
      buffer >>= <u64>entry;
      count -= <u8>entry;
      store<u8>(to, <u8>(entry >> 16));
      entry = load<u32>(LITERAL_TABLE + ((<usize>(buffer & literalMask)) << 2));
      if (entry & LITERAL) {
        buffer >>= <u64>entry;
        count -= <u8>entry;
        store<u8>(to, <u8>(entry >> 16), 1);
        entry = load<u32>(LITERAL_TABLE + ((<usize>(buffer & literalMask)) << 2));
        if (entry & LITERAL) {
          buffer >>= <u64>entry;
          count -= <u8>entry;
          store<u8>(to, <u8>(entry >> 16), 2);
          to += 3;
          continue;
        }
        to += 2;
      } else to++;
      buffer |= load<u64>(from) << count;
      from += (63 - count) >> 3;
      count |= 56;
    }
    if (entry & SPECIAL) {
      buffer >>= <u64>entry;
      count -= <u8>entry;
      if (entry & SUBTABLE) {
        const index = (entry >> 16) + ((<u32>buffer) & ((1 << ((entry >> 8) & 0x3f)) - 1));
        entry = load<u32>(LITERAL_TABLE + ((<usize>index) << 2));
        if (entry & LITERAL) {
          buffer >>= <u64>entry;
          count -= <u8>entry;
          store<u8>(to, <u8>(entry >> 16));
          to++;
          continue;
        }
        if (entry & SPECIAL) {
          buffer >>= <u64>entry;
          count -= <u8>entry;
        }
      }
      if (entry & SPECIAL) {
        status = entry & END ? BLOCK_END : BAD_LITERAL_SYMBOL;
        break;
      }
    }
    saved = buffer;
    buffer >>= <u64>entry;
    count -= <u8>entry;
    const length = <usize>(entry >> 16) + extraBits(saved, entry);
    entry = load<u32>(DISTANCE_TABLE + ((<usize>(buffer & distanceMask)) << 2));
    if (entry & SPECIAL) {
      buffer >>= <u64>entry;
      count -= <u8>entry;
      const index = (entry >> 16) + ((<u32>buffer) & ((1 << ((entry >> 8) & 0x3f)) - 1));
      if (entry & SUBTABLE) entry = load<u32>(DISTANCE_TABLE + ((<usize>index) << 2));
      if (entry & SPECIAL) {
        status = BAD_DISTANCE_SYMBOL;
        break;
      }
    }
    saved = buffer;
    buffer >>= <u64>entry;
    count -= <u8>entry;
    const distance = <usize>(entry >> 16) + extraBits(saved, entry);
    if (to - oldest < distance) {
      status = DISTANCE_TOO_FAR;
      break;
    }
    copyMatch(to, distance, length);
    to += length;
  }
  // Bytes that were read ahead are put back: by the next call the host may have moved the input.
  inputAt = from - <usize>(count >> 3);
  bitCount = count & 7;
  bits = buffer & (((<u64>1) << bitCount) - 1);
  outputEnd = to;
  if (status == BLOCK_END) place = IN_HEADER;
  // What looks wrong behind the end is what was made of zeros.
  return status < 0 && inputAt > inputEnd ? TRUNCATED : status;
}
