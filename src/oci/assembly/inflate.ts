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

import { buildDistances, buildLengthCodes, buildLiterals, makeResults } from "./codes";
import { makeCrcTables } from "./crc32";
import {
  BASE_SHIFT,
  BUFFER_SHIFT,
  END,
  LITERAL_COUNT,
  LITERAL_COUNT_SHIFT,
  LITERAL_SHIFT,
  lookUpDistance,
  lookUpLiteral,
  lookUpLongDistance,
  lookUpLongLiteral,
  SPECIAL,
  SUBTABLE,
  valueOf,
} from "./entry";
import {
  bitCount,
  bits,
  dropBits,
  inputAt,
  inputEnd,
  returnWholeBytes,
  setInputEnd,
  setNext,
  takeBits,
} from "./input";
import {
  CODE_LENGTHS,
  INPUT,
  INPUT_BYTES_MAX,
  LENGTH_CODE_BITS,
  LENGTH_CODE_TABLE,
  LENGTHS,
  OUTPUT_BYTES_MAX,
} from "./layout";
import { copyMatch, makePatterns } from "./match";
import {
  beginOutput,
  checksum,
  memberStart,
  moveOutput,
  outputEnd,
  outputRoomBytes,
  outputStart,
  ringEnd,
  ringStart,
  setOutputEnd,
  take,
} from "./output";

/** RFC 1951, 3.2.7: at most so many codes for literals and lengths, and for distances, may be announced. */
const LITERAL_CODES_MAX: u32 = 286;
const DISTANCE_CODES_MAX: u32 = 30;
/** No block header is longer: 17 bits, 19 lengths of 3, 320 code lengths of 7 bits and 7 more. Rounded up. */
const HEADER_BYTES_MAX: usize = 640;
/**
 * The fast loop may have read 7 bytes behind the end when it looks where it is. Until it looks again it reads three words
 * of 8 bytes at most, 7 bytes apart: 7 + 2 * 7 + 8 = 29.
 */
const INPUT_MARGIN_BYTES: usize = 32;
/** To look for pairs of literals takes a table's 2048 entries; a block that is shorter does not pay for it. */
const LONG_BLOCK_BYTES: usize = 8192;

/** Where the host writes input, and how much fits. Behind what it has written last it keeps INPUT_MARGIN_BYTES of zeros. */
export const inputStart: usize = INPUT;
export const inputBytesMax: usize = INPUT_BYTES_MAX;

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

export { inputAt };
export { checksum, moveOutput, outputEnd, outputRoomBytes, outputStart, ringEnd, ringStart, take };

let place: i32 = IN_HEADER;
let isLastBlock: bool = false;
let storedBytesLeft: usize = 0;
/** What the last block with codes has given; other members' blocks are as good a guess. */
let blockBytes: usize = 0;
let hasTables: bool = false;

/** RFC 1951, 3.2.7: the order in which the lengths of code length codes come. */
const LENGTH_CODE_ORDER: usize = memory.data<u8>([
  16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
]);

/** Begins a member: its matches reach back to here at most. */
export function beginMember(): void {
  if (!hasTables) {
    makeResults();
    makePatterns();
    makeCrcTables();
  }
  hasTables = true;
  setNext(inputAt, 0, 0);
  place = IN_HEADER;
  isLastBlock = false;
  beginOutput();
}

/**
 * Goes on with the member. `end` is the address behind the input; `isAll` says that no more of it comes.
 * After MEMBER_END, `inputAt` is behind the deflate data's last byte.
 */
export function inflate(end: usize, isAll: bool): i32 {
  setInputEnd(end);
  const outputLimit = outputStart + OUTPUT_BYTES_MAX;
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
  setNext(inputAt + size, 0, 0);
  setOutputEnd(outputEnd + size);
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
  buildLiterals(LENGTHS, 288, false, false);
  memory.fill(LENGTHS, 5, 32);
  buildDistances(LENGTHS, 32, false);
  blockBytes = 0;
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
  if (!buildLiterals(LENGTHS, literalCount, true, blockBytes >= LONG_BLOCK_BYTES)) return BAD_LITERAL_CODES;
  if (!buildDistances(LENGTHS + literalCount, distanceCount, true)) return BAD_DISTANCE_CODES;
  blockBytes = 0;
  place = IN_CODES;
  return BLOCK_END;
}

/** Reads the code lengths of literals and distances, which are one sequence: a repetition may span both. */
function readLengths(count: u32): i32 {
  if (!buildLengthCodes(CODE_LENGTHS)) return BAD_CODE_LENGTHS;
  let buffer = bits;
  let ahead: u64 = bitCount;
  let from = inputAt;
  let status = BLOCK_END;
  for (let index: u32 = 0; index < count;) {
    // Behind the end of input come zeros; of these there is a word at least.
    if (from < inputEnd) buffer |= load<u64>(from) << ahead;
    from += <usize>((63 - ahead) >> 3);
    ahead |= 56;
    const entry: u64 = load<u32>(((<usize>buffer) & ((1 << LENGTH_CODE_BITS) - 1)) << 2, LENGTH_CODE_TABLE);
    const symbol = <u32>(entry >> BASE_SHIFT);
    buffer >>= entry;
    ahead -= entry & 63;
    if (symbol < 16) {
      store<u8>(LENGTHS + index, <u8>symbol);
      index++;
      continue;
    }
    if (symbol == 16 && index == 0) {
      status = BAD_REPEAT;
      break;
    }
    const extra: u64 = symbol == 18 ? 7 : symbol - 14;
    const repeat = (symbol == 18 ? 11 : 3) + ((<u32>buffer) & ((1 << (<u32>extra)) - 1));
    buffer >>= extra;
    ahead -= extra;
    if (index + repeat > count) {
      status = BAD_REPEAT;
      break;
    }
    const value = i8x16.splat(symbol == 16 ? load<i8>(LENGTHS + index - 1) : 0);
    for (let at = index; at < index + repeat; at += 16) v128.store(LENGTHS + at, value);
    index += repeat;
  }
  setNext(from, buffer, ahead);
  return status;
}

/**
 * Literals and matches (RFC 1951, 3.2.3) until the block, the input but for its margin, or the room for output ends.
 *
 * What takes time here is that each look into a table waits for the one before, and that the processor cannot guess
 * whether a literal or a match comes next. So two looks are taken as literals without asking, which does nothing where
 * they are not: four matches in five have no more literals before them. After a match the next look comes first, then
 * the refill and the match's bytes.
 *
 * The bit buffer begins at bit BUFFER_SHIFT, and `count` is where it ends, modulo 64. One load fills it up to 54 bits at
 * least; bits that it reads again are the same, so they are or-ed onto themselves. A refill comes behind the two looks and
 * behind each match, and enough is left to look for a literal (11 bits), or distance (9), each time:
 *   two literals take 22 bits, which leaves 32; 15 more between refills for a literal of two looks leave 17;
 *   a length takes 20 and a distance of one look 22, which leaves 12;
 *   a distance of two looks has a refill between them, and takes 19 behind it, which leaves 35.
 */
function inflateCodes(isAll: bool, outputLimit: usize): i32 {
  const inputSafe = inputEnd - INPUT_MARGIN_BYTES;
  const oldest = memberStart;
  let buffer = bits << BUFFER_SHIFT;
  let count: u64 = bitCount + BUFFER_SHIFT;
  let from = inputAt;
  let to = outputEnd;
  let status = NEED_INPUT;
  buffer |= load<u64>(from) << count;
  from += refillBytes(count);
  count |= 56;
  let entry = lookUpLiteral(buffer);
  while (true) {
    if (to >= outputLimit) {
      status = OUTPUT_FULL;
      break;
    }
    if (from > inputSafe) {
      if (!isAll) break;
      // Zeros are read behind the end, byte by byte of the margin: the truth is what was taken of them.
      if (from - <usize>(bitsAhead(count) >> 3) > inputEnd) {
        status = TRUNCATED;
        break;
      }
    }
    buffer >>= entry;
    count -= entry;
    store<u32>(to, (<u32>entry) >> LITERAL_SHIFT);
    to += (<usize>(entry >> LITERAL_COUNT_SHIFT)) & 3;
    entry = lookUpLiteral(buffer);
    buffer >>= entry;
    count -= entry;
    store<u32>(to, (<u32>entry) >> LITERAL_SHIFT);
    to += (<usize>(entry >> LITERAL_COUNT_SHIFT)) & 3;
    entry = lookUpLiteral(buffer);
    buffer |= load<u64>(from) << count;
    from += refillBytes(count);
    count |= 56;
    if ((<u32>entry) & (LITERAL_COUNT | SPECIAL)) {
      if ((<u32>entry) & LITERAL_COUNT) continue;
      if ((<u32>entry) & SUBTABLE) {
        entry >>= LITERAL_SHIFT;
        buffer >>= entry;
        count -= entry;
        entry = lookUpLongLiteral(buffer, entry);
        if ((<u32>entry) & LITERAL_COUNT) {
          buffer >>= entry;
          count -= entry;
          store<u8>(to, <u8>(entry >> LITERAL_SHIFT));
          to++;
          entry = lookUpLiteral(buffer);
          continue;
        }
      }
      if ((<u32>entry) & SPECIAL) {
        status = (<u32>entry) & END ? BLOCK_END : BAD_LITERAL_SYMBOL;
        buffer >>= entry >> LITERAL_SHIFT;
        count -= entry >> LITERAL_SHIFT;
        break;
      }
    }
    entry >>= LITERAL_SHIFT;
    const length = valueOf(buffer, entry);
    buffer >>= entry;
    count -= entry;
    entry = lookUpDistance(buffer);
    if ((<u32>entry) & SPECIAL) {
      buffer >>= entry;
      count -= entry;
      buffer |= load<u64>(from) << count;
      from += refillBytes(count);
      count |= 56;
      if ((<u32>entry) & SUBTABLE) entry = lookUpLongDistance(buffer, entry);
      if ((<u32>entry) & SPECIAL) {
        status = BAD_DISTANCE_SYMBOL;
        break;
      }
    }
    const distance = valueOf(buffer, entry);
    buffer >>= entry;
    count -= entry;
    if (to - oldest < distance) {
      status = DISTANCE_TOO_FAR;
      break;
    }
    entry = lookUpLiteral(buffer);
    buffer |= load<u64>(from) << count;
    from += refillBytes(count);
    count |= 56;
    copyMatch(to, distance, length);
    to += length;
  }
  // Bytes that were read ahead are put back: by the next call the host may have moved the input.
  setNext(from, buffer >> BUFFER_SHIFT, bitsAhead(count));
  blockBytes += to - outputEnd;
  setOutputEnd(to);
  if (status == BLOCK_END) place = IN_HEADER;
  // What looks wrong behind the end is what was made of zeros.
  return status < 0 && inputAt > inputEnd ? TRUNCATED : status;
}

/** How many bytes a refill of a buffer that ends at `count` takes. */
function refillBytes(count: u64): usize {
  return (<usize>(~count >> 3)) & 7;
}

/** How many bits are in a buffer that ends at `count`. */
function bitsAhead(count: u64): u64 {
  return (count & 63) - BUFFER_SHIFT;
}
