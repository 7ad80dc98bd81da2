/** gzip (RFC 1952): members of deflate data, each with its checksum and size. */
import { isAllZero } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { GZIP_HEADER_BYTES_MAX } from "../base/limit.ts";
import type { Feed } from "./_feed.ts";
import { gzipHeaderBytes, GzipHeaderError } from "./_gzip-header.ts";
import { DeflateError, Inflater } from "./_inflater.ts";
import type { Tap } from "./_tap.ts";

/** CRC32 and ISIZE. */
const TRAILER_BYTES = 8;

/**
 * Inflates any number of members, empty ones too. Zeros may follow the last one, as on tape. A piece is a view that is
 * good until the next one is asked for, and until `tap` has done with it. It lies in memory that threads share.
 * @throws LAYER_INVALID, MEMORY_UNAVAILABLE, and what `tap` throws
 */
export async function* gunzip(
  feed: Feed,
  label: string,
  tap?: Tap,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inflater = await Inflater.take();
  const input = new GzipInput(feed, inflater, label);
  try {
    do {
      await input.takeHeader();
      yield* inflateMember(input, tap);
    } while (await input.hasMember());
    await input.refuseTrailer();
  } finally {
    inflater.release();
  }
}

async function* inflateMember(
  input: GzipInput,
  tap: Tap | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { inflater } = input;
  inflater.beginMember();
  let sizeBytes = 0;
  for (;;) {
    await inflater.makeRoom();
    const step = input.inflate();
    const { output } = inflater;
    if (output.length > 0) {
      sizeBytes += output.length;
      const until = tap?.(output);
      if (until !== undefined) inflater.hold(until);
      yield output;
    }
    if (step === "member-end") break;
    if (step === "need-input") await input.readMore();
  }
  await input.takeTrailer(sizeBytes);
}

/** The input of an inflater, filled from a feed. */
class GzipInput {
  readonly inflater: Inflater;
  readonly #feed: Feed;
  readonly #label: string;
  /** What did not fit. */
  #rest: Uint8Array | undefined;
  #isAll = false;

  constructor(feed: Feed, inflater: Inflater, label: string) {
    this.#feed = feed;
    this.inflater = inflater;
    this.#label = label;
  }

  /** Gives the inflater more bytes, or finds that there are none. */
  async readMore(): Promise<void> {
    const piece = this.#rest ?? (await this.#feed.next());
    if (piece === undefined) {
      this.#isAll = true;
      return;
    }
    const taken = this.inflater.give(piece);
    this.#rest = taken < piece.length ? piece.subarray(taken) : undefined;
  }

  inflate(): ReturnType<Inflater["inflate"]> {
    try {
      return this.inflater.inflate({ isAll: this.#isAll });
    } catch (error) {
      if (!(error instanceof DeflateError)) throw error;
      throw error.isTruncated ? this.#truncated() : this.#damaged(error.message);
    }
  }

  async takeHeader(): Promise<void> {
    for (;;) {
      const { ahead } = this.inflater;
      const sizeBytes = this.#headerBytes(ahead);
      if ((sizeBytes ?? ahead.length) > GZIP_HEADER_BYTES_MAX) {
        throw this.#damaged(`a header of more than ${GZIP_HEADER_BYTES_MAX} bytes`);
      }
      if (sizeBytes !== undefined) {
        this.inflater.skip(sizeBytes);
        return;
      }
      if (this.#isAll) throw this.#truncated();
      await this.readMore();
    }
  }

  /** Compares the member's checksum and size with what it gave. */
  async takeTrailer(sizeBytes: number): Promise<void> {
    while (this.inflater.ahead.length < TRAILER_BYTES) {
      if (this.#isAll) throw this.#truncated();
      await this.readMore();
    }
    const { ahead } = this.inflater;
    const trailer = new DataView(ahead.buffer, ahead.byteOffset, TRAILER_BYTES);
    if (trailer.getUint32(0, true) !== this.inflater.checksum) {
      throw this.#damaged("its checksum (CRC-32) does not match");
    }
    // RFC 1952, 2.3.1, ISIZE: modulo 2^32.
    if (trailer.getUint32(4, true) !== sizeBytes % 2 ** 32) {
      throw this.#damaged("its length (ISIZE) does not match");
    }
    this.inflater.skip(TRAILER_BYTES);
  }

  /** True where something follows that is not a zero, so that it has to be a member. */
  async hasMember(): Promise<boolean> {
    while (this.inflater.ahead.length === 0 && !this.#isAll) await this.readMore();
    return (this.inflater.ahead[0] ?? 0) !== 0;
  }

  /** @throws LAYER_INVALID where anything but zeros is left */
  async refuseTrailer(): Promise<void> {
    for (;;) {
      const { ahead } = this.inflater;
      if (!isAllZero(ahead)) {
        throw new LambdaImgError(
          "LAYER_INVALID",
          `${this.#label}: cannot decompress: other bytes than zeros follow the end of the gzip data`,
        );
      }
      this.inflater.skip(ahead.length);
      if (this.#isAll) return;
      await this.readMore();
    }
  }

  #headerBytes(bytes: Uint8Array): number | undefined {
    try {
      return gzipHeaderBytes(bytes);
    } catch (error) {
      if (error instanceof GzipHeaderError) throw this.#damaged(error.message);
      throw error;
    }
  }

  #truncated(): LambdaImgError {
    return this.#invalid("the gzip data is truncated: unexpected end");
  }

  #damaged(how: string): LambdaImgError {
    return this.#invalid(`the gzip data is damaged: ${how}`);
  }

  #invalid(why: string): LambdaImgError {
    return new LambdaImgError("LAYER_INVALID", `${this.#label}: cannot decompress: ${why}`);
  }
}
