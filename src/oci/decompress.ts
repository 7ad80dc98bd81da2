// ⚡ uses: time
/** Decompression of layers and archives: gzip, zstd or none, decided by content. */
import { setImmediate } from "node:timers/promises";

import { copyOf } from "../base/bytes.ts";
import { MIB } from "../base/units.ts";
import { COMPRESSION_HEAD_BYTES, detectCompression, type Compression } from "./compression.ts";
import { Feed } from "./_feed.ts";
import { gunzip } from "./_gzip.ts";
import type { Tap } from "./_tap.ts";
import { unzstd } from "./_zstd.ts";

/** Decompressing is synchronous: after so much output, other work of the process has its turn. */
const TURN_BYTES = 4 * MIB;

/** The same as decompressLent, but the bytes are the caller's. */
export async function* decompress(
  bytes: AsyncIterable<Uint8Array>,
  label: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of decompressLent(bytes, label)) yield copyOf(piece);
}

/** Who is told what. */
export interface DecompressOptions {
  /** Told what it is before the first piece; with "none" all pieces together are the input. */
  readonly onCompression?: (compression: Compression) => void;
  /**
   * Given each piece before it is lent. Where it returns a promise, the piece's memory stays as it is until that resolves, also when
   * pieces are asked for; the bytes of gzip lie in memory that other threads can see.
   */
  readonly tap?: Tap;
}

/**
 * The bytes behind the compression, lent: a piece is good until the next one is asked for. Asks for input no faster than output is taken,
 * holds a few pieces at most, reads the input to its end, and closes it where it stops early. Errors of the
 * input pass unchanged, as do those of the options.
 * @throws LAYER_INVALID where the compressed bytes are damaged, cut off, or followed by others; COMPRESSION_UNSUPPORTED
 */
export async function* decompressLent(
  bytes: AsyncIterable<Uint8Array>,
  label: string,
  options: DecompressOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const { tap } = options;
  const feed = new Feed(bytes);
  try {
    const compression = detectCompression(await feed.peek(COMPRESSION_HEAD_BYTES), label);
    options.onCompression?.(compression);
    if (compression === "gzip") yield* inTurns(gunzip(feed, label, tap));
    else if (compression === "zstd") yield* inTurns(unzstd(feed, label, tap));
    else yield* rest(feed, tap);
  } finally {
    await feed.close();
  }
}

async function* rest(feed: Feed, tap: Tap | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  for (;;) {
    const piece = await feed.next();
    if (piece === undefined) return;
    await tap?.(piece);
    yield piece;
  }
}

async function* inTurns(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  let turnBytes = 0;
  for await (const piece of pieces) {
    yield piece;
    turnBytes += piece.length;
    if (turnBytes < TURN_BYTES) continue;
    turnBytes = 0;
    await setImmediate();
  }
}
