/** gzip (RFC 1952) by node:zlib, which inflates on the thread pool while others read and hash. */
import { createGunzip, type Gunzip } from "node:zlib";

import { isAllZero } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { KIB } from "../base/units.ts";
import type { Feed } from "./_feed.ts";

/** Of output; the default of 16 KiB is half as fast. */
const OUTPUT_BYTES = 256 * KIB;
/** Of input that may wait for the inflater. */
const INPUT_BYTES_MAX = 512 * KIB;

const STREAM_OPTIONS = {
  chunkSize: OUTPUT_BYTES,
  writableHighWaterMark: INPUT_BYTES_MAX,
  // Two finished pieces may wait for their reader; in object mode they are not copied into one.
  readableObjectMode: true,
  readableHighWaterMark: 2,
};

/**
 * Inflates any number of members, empty ones too. Zeros may follow the last one, as on tape.
 * @throws LAYER_INVALID
 */
export async function* gunzip(feed: Feed, label: string): AsyncGenerator<Uint8Array, void, undefined> {
  const inflater = createGunzip(STREAM_OPTIONS);
  const writer = new GunzipWriter(feed, inflater);
  const writing = writer.run();
  try {
    try {
      for await (const piece of inflater) yield pieceOf(piece);
    } catch (error) {
      throw writer.inputError ?? gzipError(error, label);
    }
    await writing;
    await refuseTrailer(feed, writer.leftovers(), label);
  } finally {
    inflater.destroy();
    await writing;
  }
}

/** Moves the input into the inflater, one piece at a time. Never rejects: what fails is kept. */
class GunzipWriter {
  inputError: unknown = undefined;
  readonly #feed: Feed;
  readonly #inflater: Gunzip;
  readonly #pieces: Uint8Array[] = [];
  #wakeUp: (() => void) | undefined;
  /** Where the first of #pieces starts in the input. */
  #startBytes = 0;

  constructor(feed: Feed, inflater: Gunzip) {
    this.#feed = feed;
    this.#inflater = inflater;
    const wake = (): void => this.#wakeUp?.();
    inflater.on("drain", wake).on("close", wake).on("end", wake).on("error", wake);
  }

  async run(): Promise<void> {
    try {
      while (!this.#isOver()) {
        const piece = await this.#feed.next();
        if (this.#isOver()) {
          if (piece !== undefined) this.#pieces.push(piece);
          return;
        }
        if (piece === undefined) {
          this.#inflater.end();
          return;
        }
        this.#forgetTaken();
        this.#pieces.push(piece);
        if (!this.#inflater.write(piece)) await this.#untilWoken();
      }
    } catch (error) {
      this.inputError = error;
      this.#inflater.destroy(error instanceof Error ? error : new Error("the input failed"));
    }
  }

  /** What the inflater did not take: bytes after the end of the last member. */
  leftovers(): readonly Uint8Array[] {
    this.#forgetTaken();
    const [first, ...others] = this.#pieces;
    return first === undefined
      ? []
      : [first.subarray(this.#inflater.bytesWritten - this.#startBytes), ...others];
  }

  #isOver(): boolean {
    return this.#inflater.destroyed || this.#inflater.readableEnded;
  }

  #untilWoken(): Promise<void> {
    if (this.#isOver()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wakeUp = resolve;
    });
  }

  /** Drops pieces that the inflater has taken as a whole. */
  #forgetTaken(): void {
    for (;;) {
      const first = this.#pieces[0];
      if (first === undefined || this.#startBytes + first.length > this.#inflater.bytesWritten) return;
      this.#startBytes += first.length;
      this.#pieces.shift();
    }
  }
}

/** node:zlib stops at the first zero byte after a member and does not look at what follows. */
async function refuseTrailer(feed: Feed, leftovers: readonly Uint8Array[], label: string): Promise<void> {
  for (const piece of leftovers) checkZeros(piece, label);
  for (;;) {
    const piece = await feed.next();
    if (piece === undefined) return;
    checkZeros(piece, label);
  }
}

function checkZeros(piece: Uint8Array, label: string): void {
  if (isAllZero(piece)) return;
  throw new LambdaImgError(
    "LAYER_INVALID",
    `${label}: cannot decompress: other bytes than zeros follow the end of the gzip data`,
  );
}

function pieceOf(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError("node:zlib gave something that is no Uint8Array");
}

function gzipError(cause: unknown, label: string): unknown {
  if (!(cause instanceof Error) || !("code" in cause) || !String(cause.code).startsWith("Z_")) return cause;
  const why =
    cause.code === "Z_BUF_ERROR"
      ? "the gzip data is truncated: unexpected end"
      : `the gzip data is damaged: ${EXPLANATIONS.get(cause.message) ?? cause.message}`;
  return new LambdaImgError("LAYER_INVALID", `${label}: cannot decompress: ${why}`, { cause });
}

/** zlib's words for what a gzip trailer and header are. */
const EXPLANATIONS: ReadonlyMap<string, string> = new Map([
  ["incorrect data check", "its checksum (CRC-32) does not match"],
  ["incorrect length check", "its length (ISIZE) does not match"],
  ["incorrect header check", "no gzip header where a member should begin, or other bytes after the end"],
]);
