/** Numbers of any size and byte strings in a growing row of bytes, and back (docs/format/conventions.md, "Varints"). */
import { toByteString, writeByteString, type ByteString } from "./bytes.ts";
import { assert, LambdaImgError } from "./error.ts";

/** Writes one value after another. */
export class BinaryWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  /** How many bytes were written. */
  get length(): number {
    return this.#length;
  }

  /** A safe integer from 0: 7 bits a byte, lowest first, the high bit where more follow (LEB128). */
  number(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, "a number is a safe integer from 0");
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A safe integer of either sign; the sign comes first. */
  signed(value: number): void {
    this.number(value < 0 ? 1 : 0);
    this.number(Math.abs(value));
  }

  /** A length and the bytes. */
  bytes(bytes: Uint8Array): void {
    this.number(bytes.length);
    this.raw(bytes);
  }

  /** The bytes alone. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** As `bytes`. */
  text(text: ByteString): void {
    this.number(text.length);
    this.#reserve(text.length);
    this.#length += writeByteString(this.#bytes, text, this.#length);
  }

  /** A view of what was written. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#length + count, 2 * this.#bytes.length));
    larger.set(this.finish());
    this.#bytes = larger;
  }
}

/** Reads what a BinaryWriter wrote; every call throws STORE_INVALID where the bytes are not that. */
export class BinaryReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw invalid("it ends in a number");
      value += (byte & 0x7f) * unit;
      if (!Number.isSafeInteger(value)) throw invalid("a number is too large");
      if (byte >= 0x80) continue;
      // One number, one form: what was written has no zeros at its end.
      if (byte === 0 && unit > 1) throw invalid("a number is longer than it need be");
      return value;
    }
  }

  signed(): number {
    const sign = this.number();
    const magnitude = this.number();
    if (sign > 1 || (sign === 1 && magnitude === 0)) throw invalid("a sign is none");
    return sign === 1 ? -magnitude : magnitude;
  }

  /** A copy. */
  bytes(): Uint8Array {
    return this.#view().slice();
  }

  text(): ByteString {
    return toByteString(this.#view());
  }

  #view(): Uint8Array {
    const length = this.number();
    if (length > this.#bytes.length - this.#at) throw invalid("it ends in a text");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

function invalid(why: string): LambdaImgError {
  return new LambdaImgError("STORE_INVALID", `record: not what was written: ${why}`);
}
