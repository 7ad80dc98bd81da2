/** CRC-32C (Castagnoli) as ext4 uses it ("Checksums": crc32c of the kernel, no inversion before or after). */

/** The polynomial 0x1EDC6F41 with its bits reversed: the CRC works from the lowest bit up. */
const POLYNOMIAL_REVERSED = 0x82f63b78;
/** "Slicing by 8": table k gives the effect of a byte that 8 - k further bytes follow. */
const SLICE_COUNT = 8;
const TABLE: Int32Array = makeTable();

/**
 * The checksum of `bytes`, continued from `seed`; an unsigned 32-bit number. ext4 starts with ~0 (0xffffffff) and
 * stores the result as it is; RFC 3720's CRC is the bitwise complement of `crc32c(0xffffffff, bytes)`.
 */
export function crc32c(seed: number, bytes: Uint8Array): number {
  const table = TABLE;
  let crc = seed | 0;
  let at = 0;
  // `?? 0` is for the compiler: no index leaves its array here.
  for (const end = bytes.length - 7; at < end; at += SLICE_COUNT) {
    crc ^=
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    crc =
      (table[1792 | (crc & 0xff)] ?? 0) ^
      (table[1536 | ((crc >>> 8) & 0xff)] ?? 0) ^
      (table[1280 | ((crc >>> 16) & 0xff)] ?? 0) ^
      (table[1024 | (crc >>> 24)] ?? 0) ^
      (table[768 | (bytes[at + 4] ?? 0)] ?? 0) ^
      (table[512 | (bytes[at + 5] ?? 0)] ?? 0) ^
      (table[256 | (bytes[at + 6] ?? 0)] ?? 0) ^
      (table[bytes[at + 7] ?? 0] ?? 0);
  }
  for (; at < bytes.length; at++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  }
  return crc >>> 0;
}

function makeTable(): Int32Array {
  const table = new Int32Array(SLICE_COUNT * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL_REVERSED : 0);
    table[byte] = crc;
  }
  for (let at = 256; at < table.length; at++) {
    const shorter = table[at - 256] ?? 0;
    table[at] = (shorter >>> 8) ^ (table[shorter & 0xff] ?? 0);
  }
  return table;
}
