/** Bitmaps in which bit n of the file system is bit n % 8 of byte n / 8 (kernel documentation, "Block and Inode Bitmaps"). */

/** One bit for each block or inode; set means in use. */
export class Bitmap {
  readonly bytes: Uint8Array;

  constructor(bitCount: number) {
    this.bytes = new Uint8Array(Math.ceil(bitCount / 8));
  }

  /** Sets `count` bits from `start` on. */
  setRange(start: number, count: number): void {
    let at = start;
    const end = start + count;
    while (at < end && at % 8 !== 0) this.#set(at++);
    const wholeBytes = Math.max(0, Math.floor(end / 8) - at / 8);
    this.bytes.fill(0xff, at / 8, at / 8 + wholeBytes);
    at += wholeBytes * 8;
    while (at < end) this.#set(at++);
  }

  /** How many bits are set from `start` to before `end`; both multiples of 8. */
  countRange(start: number, end: number): number {
    let count = 0;
    for (let at = start / 8; at < end / 8; at++) count += BITS_IN_BYTE[this.bytes[at] ?? 0] ?? 0;
    return count;
  }

  /** One more than the last set bit from `start` to before `end`, less `start`; 0 where none is set. Multiples of 8. */
  lastSetAfter(start: number, end: number): number {
    for (let at = end / 8 - 1; at >= start / 8; at--) {
      const byte = this.bytes[at] ?? 0;
      if (byte !== 0) return at * 8 - start + 32 - Math.clz32(byte);
    }
    return 0;
  }

  #set(bit: number): void {
    const at = Math.floor(bit / 8);
    this.bytes[at] = (this.bytes[at] ?? 0) | (1 << (bit % 8));
  }
}

const BITS_IN_BYTE = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
});
