/** The input of a decompressor: an iterator that is closed once, whose first bytes can be looked at. */
import { concatBytes, copyOf } from "../base/bytes.ts";

/** Reads an AsyncIterable by hand; its pieces may be lent, each until the next is asked for. */
export class Feed {
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #ahead: Uint8Array[] = [];
  #isDone = false;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  /** The next piece that is not empty, lent as it was, or `undefined` at the end. Errors of the input pass unchanged. */
  async next(): Promise<Uint8Array | undefined> {
    const ahead = this.#ahead.shift();
    if (ahead !== undefined) return ahead;
    while (!this.#isDone) {
      const piece = await this.#pull();
      if (piece !== undefined && piece.length > 0) return piece;
    }
    return undefined;
  }

  /** The first `sizeBytes` bytes, or all there are, without taking them. */
  async peek(sizeBytes: number): Promise<Uint8Array> {
    let head = (await this.next()) ?? new Uint8Array(0);
    while (head.length < sizeBytes) {
      const before = copyOf(head); // Asking for the next piece may overwrite this one.
      const piece = await this.next();
      if (piece === undefined) {
        head = before;
        break;
      }
      head = concatBytes(before, piece);
    }
    if (head.length > 0) this.#ahead.unshift(head);
    return head.subarray(0, sizeBytes);
  }

  /** Closes the input where it has not ended by itself. */
  async close(): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    await this.#iterator.return?.();
  }

  async #pull(): Promise<Uint8Array | undefined> {
    try {
      const step = await this.#iterator.next();
      if (step.done !== true) return step.value;
      this.#isDone = true;
      return undefined;
    } catch (error) {
      this.#isDone = true; // An iterator that has thrown is closed already.
      throw error;
    }
  }
}
