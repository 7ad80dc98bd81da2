/** Deflate data (RFC 1951) bit by bit, right or wrong, for tests of who reads it. */

/** Writes bits as RFC 1951, 3.1.1 packs them: numbers with their lowest bit first, codes with their highest. */
export class DeflateWriter {
  readonly #bytes: number[] = [];
  #bitCount = 0;

  /** A number of so many bits. */
  number(value: number, bits: number): this {
    for (let bit = 0; bit < bits; bit++) this.#bit((value >>> bit) & 1);
    return this;
  }

  /** A Huffman code of so many bits. */
  code(value: number, bits: number): this {
    for (let bit = bits - 1; bit >= 0; bit--) this.#bit((value >>> bit) & 1);
    return this;
  }

  /** Zeros to the next byte, as before the length of a stored block. */
  align(): this {
    while (this.#bitCount % 8 !== 0) this.#bit(0);
    return this;
  }

  /** A block's first three bits. */
  block(type: number, isLast = true): this {
    return this.number(isLast ? 1 : 0, 1).number(type, 2);
  }

  /** A symbol of the fixed code for literals and lengths (RFC 1951, 3.2.6). */
  fixed(symbol: number): this {
    if (symbol < 144) return this.code(0x30 + symbol, 8);
    if (symbol < 256) return this.code(0x190 + symbol - 144, 9);
    return symbol < 280 ? this.code(symbol - 256, 7) : this.code(0xc0 + symbol - 280, 8);
  }

  bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #bit(value: number): void {
    if (this.#bitCount % 8 === 0) this.#bytes.push(0);
    const last = this.#bytes.length - 1;
    this.#bytes[last] = (this.#bytes[last] ?? 0) | (value << (this.#bitCount % 8));
    this.#bitCount++;
  }
}

/** RFC 1951, 3.2.7. */
const LENGTH_CODE_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A block with codes of these lengths (by symbol), every length spelled out in a code of four or five bits. */
export function dynamicBlock(literals: readonly number[], distances: readonly number[]): DeflateWriter {
  const writer = new DeflateWriter().block(2);
  writer.number(literals.length - 257, 5).number(distances.length - 1, 5);
  // Thirteen codes of four bits for 0 to 12, six of five bits for 13 to 18: 13/16 + 6/32 = 1.
  writer.number(19 - 4, 4);
  for (const symbol of LENGTH_CODE_ORDER) writer.number(symbol < 13 ? 4 : 5, 3);
  for (const length of [...literals, ...distances]) {
    if (length < 13) writer.code(length, 4);
    else writer.code(26 + length - 13, 5);
  }
  return writer;
}

/** The canonical codes of these lengths (RFC 1951, 3.2.2), by symbol. */
export function canonicalCodes(lengths: readonly number[]): readonly number[] {
  const codes = lengths.map(() => 0);
  let code = 0;
  for (let length = 1; length <= 15; length++) {
    lengths.forEach((found, symbol) => {
      if (found === length) codes[symbol] = code++;
    });
    code *= 2;
  }
  return codes;
}
