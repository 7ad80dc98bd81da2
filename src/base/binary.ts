// ⚡ uses: Buffer
/** Numbers of any size and byte strings in a growing row of bytes, and back (docs/format/conventions.md, "Varints"). */
import { asByteString, writeByteString, type ByteString } from "./bytes.ts";
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
  /** A Buffer makes a string of some of its bytes without a view of them. A million entries have two million. */
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
    const start = this.#skip();
    return new Uint8Array(this.#bytes.subarray(start, this.#at));
  }

  text(): ByteString {
    const start = this.#skip();
    return asByteString(start === this.#at ? "" : this.#bytes.toString("latin1", start, this.#at));
  }

  /** Goes behind a length and so many bytes; returns where these begin. */
  #skip(): number {
    const length = this.number();
    if (length > this.#bytes.length - this.#at) throw invalid("it ends in a text");
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

function invalid(why: string): LambdaImgError {
  return new LambdaImgError("STORE_INVALID", `record: not what was written: ${why}`);
}
