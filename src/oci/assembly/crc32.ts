/** CRC-32 (RFC 1952, section 8). */
import { CRC_TABLES, FOLD_REST, FOLD_REST_BYTES, FOLDED } from "./layout";

/** For shorter runs folding is not worth it. */
const FOLD_RUN_BYTES_MIN: usize = 8192;

/** The tables: that of RFC 1952, and those for a byte with 1 to 15 zero bytes behind it. */
export function makeCrcTables(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    store<u32>(CRC_TABLES + (byte << 2), crc);
  }
  for (let at: usize = 256; at < 16 * 256; at++) {
    const shorter = load<u32>(CRC_TABLES + ((at - 256) << 2));
    store<u32>(CRC_TABLES + (at << 2), crcOf(0, shorter) ^ (shorter >> 8));
  }
}

/**
 * CRC-32 of bytes that follow those of which `crc` is the CRC-32.
 *
 * Long runs are shortened first. CRC-32's polynomial divides x^3006 + x^2866 + x^2215 + 1, so its eighth power, too, which
 * is the same with bytes in place of bits. Bytes therefore are worth as much 140, 791 and 3006 bytes further on as where
 * they are: they are dropped from the front and added there, sixteen at a time, until the run has some 3000 bytes.
 */
export function crc32(crc: u32, from: usize, end: usize): u32 {
  if (end - from < FOLD_RUN_BYTES_MIN) return ~crcByTables(~crc, from, end);
  const restBytes = FOLD_REST_BYTES + ((end - from) & 15);
  const foldedBytes = end - from - restBytes;
  memory.fill(FOLDED - FOLD_REST_BYTES, 0, FOLD_REST_BYTES);
  // The checksum of what came before counts as if it were added to the first four bytes.
  let word = i32x4(<i32>~crc, 0, 0, 0);
  for (let at: usize = 0; at < foldedBytes; at += 16) {
    v128.store(FOLDED + at, v128.xor(word, foldedHere(from + at, FOLDED + at)));
    word = i32x4.splat(0);
  }
  memory.fill(FOLDED + foldedBytes, 0, FOLD_REST_BYTES + 32);
  // Nothing was folded from here on, so what is added to the rest comes from before it.
  for (let at: usize = 0; at < restBytes; at += 16) {
    v128.store(FOLD_REST + at, foldedHere(from + foldedBytes + at, FOLDED + foldedBytes + at));
  }
  return ~crcByTables(0, FOLD_REST, FOLD_REST + restBytes);
}

/** Sixteen bytes with what is added to them from before. */
function foldedHere(from: usize, folded: usize): v128 {
  const near = v128.xor(v128.load(folded - 140), v128.load(folded - 791));
  return v128.xor(v128.xor(v128.load(from), near), v128.load(folded - 3006));
}

/** The register of CRC-32 after these bytes; sixteen bytes a step by sixteen tables. */
function crcByTables(register: u32, from: usize, end: usize): u32 {
  let state = register;
  for (; from + 16 <= end; from += 16) {
    const a = load<u32>(from) ^ state;
    const b = load<u32>(from, 4);
    const c = load<u32>(from, 8);
    const d = load<u32>(from, 12);
    state = crcOfWord(12, a) ^ crcOfWord(8, b) ^ crcOfWord(4, c) ^ crcOfWord(0, d);
  }
  for (; from < end; from++) state = crcOf(0, state ^ load<u8>(from)) ^ (state >> 8);
  return state;
}

/** What four bytes give with `zeros` zero bytes behind them. */
function crcOfWord(zeros: usize, word: u32): u32 {
  return (
    crcOf(zeros + 3, word) ^
    crcOf(zeros + 2, word >> 8) ^
    crcOf(zeros + 1, word >> 16) ^
    crcOf(zeros, word >> 24)
  );
}

/** What the lowest byte of `value` gives with `zeros` zero bytes behind it. */
function crcOf(zeros: usize, value: u32): u32 {
  return load<u32>(CRC_TABLES + (zeros << 10) + ((<usize>(value & 0xff)) << 2));
}
