/** CRC-32C (Castagnoli) as ext4 uses it ("Checksums": crc32c of the kernel, no inversion before or after). */

/** The polynomial 0x1EDC6F41 with its bits reversed: the CRC works from the lowest bit up. */
const POLYNOMIAL_REVERSED = 0x82f63b78;
/** "Slicing by 16": table k gives the effect of a byte that k further bytes follow. */
const SLICE_COUNT = 16;
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
  for (const end = bytes.length - 15; at < end; at += SLICE_COUNT) {
    // Twelve bytes that need not wait for the checksum of those before.
    const rest =
      (table[2816 | (bytes[at + 4] ?? 0)] ?? 0) ^
      (table[2560 | (bytes[at + 5] ?? 0)] ?? 0) ^
      (table[2304 | (bytes[at + 6] ?? 0)] ?? 0) ^
      (table[2048 | (bytes[at + 7] ?? 0)] ?? 0) ^
      (table[1792 | (bytes[at + 8] ?? 0)] ?? 0) ^
      (table[1536 | (bytes[at + 9] ?? 0)] ?? 0) ^
      (table[1280 | (bytes[at + 10] ?? 0)] ?? 0) ^
      (table[1024 | (bytes[at + 11] ?? 0)] ?? 0) ^
      (table[768 | (bytes[at + 12] ?? 0)] ?? 0) ^
      (table[512 | (bytes[at + 13] ?? 0)] ?? 0) ^
      (table[256 | (bytes[at + 14] ?? 0)] ?? 0) ^
      (table[bytes[at + 15] ?? 0] ?? 0);
    crc =
      (table[3840 | ((crc ^ (bytes[at] ?? 0)) & 0xff)] ?? 0) ^
      (table[3584 | (((crc >>> 8) ^ (bytes[at + 1] ?? 0)) & 0xff)] ?? 0) ^
      (table[3328 | (((crc >>> 16) ^ (bytes[at + 2] ?? 0)) & 0xff)] ?? 0) ^
      (table[3072 | ((crc >>> 24) ^ (bytes[at + 3] ?? 0))] ?? 0) ^
      rest;
  }
  for (; at < bytes.length; at++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  }
  return crc >>> 0;
}

/**
 * What continues a checksum over so many zeros, as `crc32c` would. A step over zeros is linear: what it makes of a checksum is the sum (xor)
 * of what it makes of each of its bits.
 */
export function crc32cOfZeros(sizeBytes: number): (crc: number) => number {
  const zeros = new Uint8Array(sizeBytes);
  const table = new Int32Array(4 * 256);
  for (let first = 0, shift = 0; shift < 32; first += 256, shift += 8) {
    for (let byte = 1; byte < 256; byte++) {
      const others = byte & (byte - 1); // Its bits but for the lowest.
      table[first | byte] =
        others === 0
          ? crc32c((byte << shift) >>> 0, zeros)
          : (table[first | others] ?? 0) ^ (table[first | (byte ^ others)] ?? 0);
    }
  }
  return (crc) =>
    ((table[crc & 0xff] ?? 0) ^
      (table[256 | ((crc >>> 8) & 0xff)] ?? 0) ^
      (table[512 | ((crc >>> 16) & 0xff)] ?? 0) ^
      (table[768 | (crc >>> 24)] ?? 0)) >>>
    0;
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
