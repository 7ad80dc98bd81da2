/** Reading an archive from front to end: a plain file by offset, so that bodies cost nothing, or a stream. */
import { concatBytes } from "../base/bytes.ts";
import { KIB } from "../base/units.ts";
import type { OpenFile } from "./_open-file.ts";

/** A place in an archive that moves forward. */
export interface ArchiveCursor {
  /** The next `sizeBytes` bytes, fewer only at the end. */
  take(sizeBytes: number): Promise<Uint8Array>;
  /** Some of the next bytes, at most `sizeBytes`; `undefined` at the end. They are the caller's. */
  takeSome(sizeBytes: number): Promise<Uint8Array | undefined>;
  /** Moves on; returns how many bytes there were to pass, up to `sizeBytes`. */
  skip(sizeBytes: number): Promise<number>;
  readonly offsetBytes: number;
  close(): Promise<void>;
}

/** Read at once around headers, which in small files lie close together. */
const WINDOW_BYTES = 32 * KIB;
const BODY_BYTES = 512 * KIB;

/** Over a plain archive; the file stays open for others. */
export class FileCursor implements ArchiveCursor {
  readonly #file: OpenFile;
  #offsetBytes = 0;
  #window: Uint8Array = new Uint8Array(0);
  #windowStart = 0;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  get offsetBytes(): number {
    return this.#offsetBytes;
  }

  async take(sizeBytes: number): Promise<Uint8Array> {
    const isInside =
      this.#offsetBytes >= this.#windowStart &&
      this.#offsetBytes + sizeBytes <= this.#windowStart + this.#window.length;
    if (!isInside) {
      this.#windowStart = this.#offsetBytes;
      this.#window = await this.#file.read(this.#offsetBytes, Math.max(sizeBytes, WINDOW_BYTES));
    }
    const start = this.#offsetBytes - this.#windowStart;
    const bytes = this.#window.subarray(start, start + sizeBytes);
    this.#offsetBytes += bytes.length;
    return bytes;
  }

  async takeSome(sizeBytes: number): Promise<Uint8Array | undefined> {
    const bytes = await this.#file.read(this.#offsetBytes, Math.min(sizeBytes, BODY_BYTES));
    this.#offsetBytes += bytes.length;
    return bytes.length === 0 ? undefined : bytes;
  }

  skip(sizeBytes: number): Promise<number> {
    const passedBytes = Math.max(0, Math.min(sizeBytes, this.#file.sizeBytes - this.#offsetBytes));
    this.#offsetBytes += passedBytes;
    return Promise.resolve(passedBytes);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Over a stream, which it closes. */
export class StreamCursor implements ArchiveCursor {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #offsetBytes = 0;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  get offsetBytes(): number {
    return this.#offsetBytes;
  }

  async take(sizeBytes: number): Promise<Uint8Array> {
    const first = await this.takeSome(sizeBytes);
    if (first === undefined || first.length === sizeBytes) return first ?? new Uint8Array(0);
    const parts = [first];
    let foundBytes = first.length;
    while (foundBytes < sizeBytes) {
      const part = await this.takeSome(sizeBytes - foundBytes);
      if (part === undefined) break;
      parts.push(part);
      foundBytes += part.length;
    }
    return concatBytes(...parts);
  }

  async takeSome(sizeBytes: number): Promise<Uint8Array | undefined> {
    while (this.#piece.length === 0) {
      const step = await this.#iterator.next();
      if (step.done === true) return undefined;
      this.#piece = step.value;
    }
    const bytes = this.#piece.subarray(0, sizeBytes);
    this.#piece = this.#piece.subarray(bytes.length);
    this.#offsetBytes += bytes.length;
    return bytes;
  }

  async skip(sizeBytes: number): Promise<number> {
    let passedBytes = 0;
    while (passedBytes < sizeBytes) {
      const piece = await this.takeSome(sizeBytes - passedBytes);
      if (piece === undefined) break;
      passedBytes += piece.length;
    }
    return passedBytes;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}
