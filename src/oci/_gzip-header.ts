/** The header of a gzip member (RFC 1952, 2.3). */

/** What is wrong with a header. */
export class GzipHeaderError extends Error {}

/** Flags (RFC 1952, 2.3.1, FLG). */
const FHCRC = 0x02;
const FEXTRA = 0x04;
const FNAME = 0x08;
const FCOMMENT = 0x10;
const RESERVED = 0xe0;

const FIXED_BYTES = 10;

/**
 * The size of the header that `bytes` begin with, or `undefined` where they end inside of it.
 * @throws GzipHeaderError
 */
export function gzipHeaderBytes(bytes: Uint8Array): number | undefined {
  checkStart(bytes);
  const flags = bytes[3];
  if (flags === undefined || bytes.length < FIXED_BYTES) return undefined;
  let size: number | undefined = FIXED_BYTES;
  if ((flags & FEXTRA) !== 0) size = afterExtra(bytes, size);
  if ((flags & FNAME) !== 0) size = afterText(bytes, size);
  if ((flags & FCOMMENT) !== 0) size = afterText(bytes, size);
  if ((flags & FHCRC) !== 0) size = afterChecksum(bytes, size);
  return size === undefined || size > bytes.length ? undefined : size;
}

/** ID1, ID2, CM, FLG, as many of them as there are. */
function checkStart([id1, id2, method, flags]: Uint8Array): void {
  if ((id1 ?? 0x1f) !== 0x1f || (id2 ?? 0x8b) !== 0x8b) {
    throw new GzipHeaderError("no gzip header where a member should begin, or other bytes after the end");
  }
  if ((method ?? 8) !== 8) throw new GzipHeaderError(`unknown compression method ${method ?? ""}`);
  if (((flags ?? 0) & RESERVED) !== 0) throw new GzipHeaderError("unknown header flags set");
}

/** XLEN, and so many bytes. */
function afterExtra(bytes: Uint8Array, at: number): number | undefined {
  const size = u16At(bytes, at);
  return size === undefined ? undefined : at + 2 + size;
}

/** A text that a zero ends. */
function afterText(bytes: Uint8Array, at: number | undefined): number | undefined {
  if (at === undefined) return undefined;
  const end = bytes.indexOf(0, at);
  return end < 0 ? undefined : end + 1;
}

/** CRC16: the lower half of the CRC-32 of all that comes before it. */
function afterChecksum(bytes: Uint8Array, at: number | undefined): number | undefined {
  const expected = at === undefined ? undefined : u16At(bytes, at);
  if (at === undefined || expected === undefined) return undefined;
  if (expected !== (crc32(bytes.subarray(0, at)) & 0xffff)) {
    throw new GzipHeaderError("the header's checksum (CRC-16) does not match");
  }
  return at + 2;
}

function u16At(bytes: Uint8Array, at: number): number | undefined {
  const low = bytes[at];
  const high = bytes[at + 1];
  return low === undefined || high === undefined ? undefined : low | (high << 8);
}

/** RFC 1952, section 8, bit by bit: headers are short, and few have a checksum. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
