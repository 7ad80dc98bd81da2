/** Where everything lies in the one memory: a MiB of tables, input and checksum, then the output. The compiler puts its constants below 4096. */

/** Bits that the first look into a table resolves; longer codes need a second one. */
export const LITERAL_BITS: i32 = 11;
export const DISTANCE_BITS: i32 = 9;
export const LENGTH_CODE_BITS: i32 = 7;
/**
 * Entries for every second-level table that a complete code can need: 2342 for 288 symbols, 11 bits and codes of 15 bits,
 * 594 for 32 symbols and 9 bits (zlib's examples/enough.c counts them). Building checks it all the same.
 */
export const LITERAL_TABLE_SIZE: i32 = 2400;
export const DISTANCE_TABLE_SIZE: i32 = 640;
export const LENGTH_CODE_TABLE_SIZE: i32 = 128;

export const WINDOW_BYTES: usize = 32768;
/** A run of bytes whose CRC-32 is wanted is folded down to so many: 3006, in whole steps. */
export const FOLD_REST_BYTES: usize = 3008;

export const COUNTS: usize = 4096; // u16 by code length, 0 to 15
export const OFFSETS: usize = COUNTS + 64; // u16 by code length
export const SORTED: usize = OFFSETS + 64; // u16: symbols by code length, then by symbol
export const LENGTHS: usize = SORTED + 640; // u8 by symbol: literals and lengths, then distances, and 16 of margin
export const CODE_LENGTHS: usize = LENGTHS + 336; // u8 by code length symbol
export const LENGTH_CODE_TABLE: usize = 8192; // u32
export const LITERAL_TABLE: usize = LENGTH_CODE_TABLE + LENGTH_CODE_TABLE_SIZE * 4; // u32
export const DISTANCE_TABLE: usize = LITERAL_TABLE + LITERAL_TABLE_SIZE * 4; // u32
export const LITERAL_RESULTS: usize = DISTANCE_TABLE + DISTANCE_TABLE_SIZE * 4; // u32 by symbol
export const DISTANCE_RESULTS: usize = LITERAL_RESULTS + 288 * 4; // u32 by symbol
export const LENGTH_CODE_RESULTS: usize = DISTANCE_RESULTS + 32 * 4; // u32 by symbol
export const PATTERNS: usize = LENGTH_CODE_RESULTS + 32 * 4; // 16 u8 by distance, 1 to 16
export const ONWARD: usize = PATTERNS + 17 * 16; // u8 by distance, 1 to 16
export const CRC_TABLES: usize = 32768; // u32, 16 tables of 256
export const FOLD_REST: usize = 49152; // u8, FOLD_REST_BYTES and 32 more
export const INPUT: usize = 65536; // u8, and 4096 of margin
export const INPUT_BYTES_MAX: usize = 524288;
/** Of one step, which may go on for as long as a match. */
export const OUTPUT_BYTES_MAX: usize = 262144;
export const OUTPUT_MARGIN_BYTES: usize = 4096;
export const FOLDED: usize = 655360; // u8: FOLD_REST_BYTES of zeros before it; as much as one output, and its margin
export const RING: usize = 1048576; // u8: outputs, each behind the one before or here again; before it is room for a window
export const RING_BYTES: usize = 8388608; // where memory ends, too: 144 pages (scripts/wasm.mjs)
