/** zstd (RFC 8878) by zstddec, which is libzstd in WebAssembly: node:zlib has none before Node 22.15. */
import { viewOf } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { ZSTD_WINDOW_BYTES_MAX } from "../base/limit.ts";
import { releaseBytes } from "../base/release.ts";
import { KIB, divCeil } from "../base/units.ts";
import type { Feed } from "./_feed.ts";
import type { Tap } from "./_tap.ts";

/** Input given to the decoder at once: bounds what one piece can grow to before the caller is heard again. */
const INPUT_BYTES = 64 * KIB;
/** The smallest frame is a skippable one without content (RFC 8878 3.1.2). */
const FRAME_BYTES_MIN = 8;
/** Magic number, descriptor, window descriptor, dictionary ID and content size (RFC 8878 3.1.1.1). */
const FRAME_HEADER_BYTES_MAX = 18;
const FRAME_MAGIC = 0xfd2fb528;
/** Steps granted to finish an abandoned decoder, which then frees its memory. */
const ABANDONED_STEPS_MAX = 256;

/**
 * Decompresses any number of frames, skippable ones left out.
 * @throws LAYER_INVALID, COMPRESSION_UNSUPPORTED, and what `tap` throws
 */
export async function* unzstd(
  feed: Feed,
  label: string,
  tap?: Tap,
): AsyncGenerator<Uint8Array, void, undefined> {
  checkWindow(await feed.peek(FRAME_HEADER_BYTES_MAX), label);
  const { loadZstdLibrary } = await import("./_zstd-library.ts");
  const { ZSTDDecoder } = await loadZstdLibrary();
  const decoder = new ZSTDDecoder();
  await withoutFetch(() => decoder.init());
  const queue = new InputQueue(feed);
  const output = decoder.decodeStreaming(queue);
  let isFinished = false;
  let emptyCount = 0;
  try {
    for (;;) {
      await queue.fill();
      const takenBefore = queue.takenCount;
      const step = advance(output, label);
      isFinished = step.done === true;
      if (step.done === true) return;
      if (queue.takenCount > takenBefore || step.value.length > 0) emptyCount = 0;
      // The decoder reports no error: on damaged input it gives nothing, for ever. A step without output is
      // one frame at least that ended (an empty or skippable one), and a piece of input has only so many.
      else if (++emptyCount > divCeil(INPUT_BYTES, FRAME_BYTES_MIN)) {
        isFinished = true;
        throw damaged(label);
      }
      if (step.value.length === 0) continue;
      await tap?.(step.value);
      yield step.value;
      releaseBytes(step.value); // The decoder gives each in fresh memory.
    }
  } finally {
    if (!isFinished) abandon(queue, output);
  }
}

/**
 * The decoder fetches its own code, from a `data:` address, for which Node loads an HTTP client; where there is no `fetch` it
 * decodes it itself. It looks for that before it gives its promise.
 */
function withoutFetch<T>(begin: () => Promise<T>): Promise<T> {
  const property = Object.getOwnPropertyDescriptor(globalThis, "fetch");
  if (property?.configurable !== true) return begin();
  Reflect.deleteProperty(globalThis, "fetch");
  try {
    return begin();
  } finally {
    Object.defineProperty(globalThis, "fetch", property);
  }
}

/** The decoder calls such a frame damaged, and it is not. Of the first frame only: those behind it are mostly made like it. */
function checkWindow(head: Uint8Array, label: string): void {
  const windowBytes = windowBytesOf(head);
  if (windowBytes === undefined || windowBytes <= ZSTD_WINDOW_BYTES_MAX) return;
  throw new LambdaImgError(
    "COMPRESSION_UNSUPPORTED",
    `${label}: unsupported compression: expected zstd with a window of at most ${ZSTD_WINDOW_BYTES_MAX} bytes, found ${windowBytes}`,
    { details: { limitBytes: ZSTD_WINDOW_BYTES_MAX, foundBytes: windowBytes } },
  );
}

/** RFC 8878 3.1.1.1: the window of the frame that begins so; `undefined` where none does, or its header is cut. */
function windowBytesOf(head: Uint8Array): number | undefined {
  const view = viewOf(head);
  if (head.length < 6 || view.getUint32(0, true) !== FRAME_MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if (!isSingleSegment) {
    const base = 2 ** (10 + (view.getUint8(5) >>> 3));
    return base + (base / 8) * (view.getUint8(5) & 7);
  }
  // The window is the content then; what has a size of one or two bytes is small.
  const sizeAt = 5 + ([0, 1, 2, 4][descriptor & 3] ?? 0);
  const sizeForm = descriptor >>> 6;
  if (sizeForm < 2 || head.length < sizeAt + (sizeForm === 2 ? 4 : 8)) return undefined;
  return sizeForm === 2 ? view.getUint32(sizeAt, true) : Number(view.getBigUint64(sizeAt, true));
}

/** A synchronous iterable over asynchronous input: one piece is kept ready, which is all a step can take. */
class InputQueue implements Iterable<Uint8Array>, Iterator<Uint8Array, undefined> {
  takenCount = 0;
  readonly #feed: Feed;
  #ready: Uint8Array | undefined;
  #rest: Uint8Array | undefined;

  constructor(feed: Feed) {
    this.#feed = feed;
  }

  /** Makes the next piece ready, unless one is or the input has ended. */
  async fill(): Promise<void> {
    if (this.#ready !== undefined) return;
    const piece = this.#rest ?? (await this.#feed.next());
    this.#ready = piece?.subarray(0, INPUT_BYTES);
    this.#rest = piece !== undefined && piece.length > INPUT_BYTES ? piece.subarray(INPUT_BYTES) : undefined;
  }

  /** Forgets all input: the decoder then sees the end of it. */
  clear(): void {
    this.#ready = undefined;
  }

  next(): IteratorResult<Uint8Array, undefined> {
    const piece = this.#ready;
    this.#ready = undefined;
    if (piece === undefined) return { done: true, value: undefined };
    this.takenCount++;
    return { done: false, value: piece };
  }

  [Symbol.iterator](): this {
    return this;
  }
}

function advance(output: Iterator<Uint8Array>, label: string): IteratorResult<Uint8Array, unknown> {
  try {
    return output.next();
  } catch (cause) {
    // The decoder's one error of its own comes at the end of the input, in the middle of a frame.
    if (cause instanceof Error && cause.message.startsWith("Incomplete stream")) {
      throw new LambdaImgError(
        "LAYER_INVALID",
        `${label}: cannot decompress: the zstd data is truncated or damaged: unexpected end`,
        { cause },
      );
    }
    throw damaged(label, cause);
  }
}

/** Runs the decoder to the end of the input that it has: its memory is outside the garbage collector's reach. */
function abandon(queue: InputQueue, output: Iterator<Uint8Array>): void {
  queue.clear();
  try {
    for (let step = 0; step < ABANDONED_STEPS_MAX; step++) if (output.next().done === true) return;
  } catch {
    // "Incomplete stream": as expected, and after the memory is free.
  }
}

function damaged(label: string, cause?: unknown): LambdaImgError {
  return new LambdaImgError("LAYER_INVALID", `${label}: cannot decompress: the zstd data is damaged`, {
    cause,
  });
}
