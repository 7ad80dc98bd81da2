/**
 * Content of known size as one stream, over as many connections as it takes: what breaks off goes on where it was
 * (RFC 9110 14, ranges). Nothing is kept but the piece that is on its way.
 */
import { LambdaImgError } from "../base/error.ts";
import { KIB } from "../base/units.ts";
import { PROGRESS_BYTES_MIN } from "./_limit.ts";
import { RetryBudget, type RetrySettings } from "./retry.ts";
import type { HttpResponse } from "./transport.ts";

/** Of one piece, but for the last before a stream ends or breaks. */
const PIECE_BYTES = 512 * KIB;
/** A piece of so many bytes is given on as it is. */
const LARGE_PIECE_BYTES = 128 * KIB;

/** What is streamed. */
export interface ContentSource {
  readonly sizeBytes: number;
  /** For messages. */
  readonly label: string;
  /** Asks for the bytes from an offset on; resolves to an answer with status 200, 206 or 416. */
  open(offsetBytes: number): Promise<HttpResponse>;
}

/**
 * Yields the bytes in order, lent: a piece is good until the next one is asked for. Their digest is for the caller to verify.
 * @throws SIZE_MISMATCH where the server has another size; what `open` throws, once the budget is used up
 */
export async function* streamContent(
  source: ContentSource,
  settings: RetrySettings,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { sizeBytes } = source;
  const budget = new RetryBudget(settings);
  let receivedBytes = 0;
  // A server that cannot give the rest is asked for all; what we have of it is skipped.
  let isRangeRefused = false;
  do {
    const startBytes = receivedBytes;
    try {
      const response = await source.open(isRangeRefused ? 0 : startBytes);
      try {
        if (response.status === 416 && !isRangeRefused && startBytes > 0) {
          isRangeRefused = true;
          continue;
        }
        const skipBytes = startBytes - checkHead(response, source, startBytes);
        for await (const piece of gather(skip(response.body, skipBytes))) {
          receivedBytes += piece.length;
          if (receivedBytes - startBytes >= PROGRESS_BYTES_MIN) budget.reset();
          yield piece;
        }
      } finally {
        response.close();
      }
      if (receivedBytes < sizeBytes) throw brokenOff(source, receivedBytes);
    } catch (error) {
      await budget.wait(error, signal);
    }
  } while (receivedBytes < sizeBytes);
}

/** The offset at which the body begins. */
function checkHead(response: HttpResponse, source: ContentSource, wantedBytes: number): number {
  const { sizeBytes, label } = source;
  if (response.status === 200) {
    const length = response.header("content-length");
    const found = length === undefined || !/^[0-9]+$/.test(length) ? sizeBytes : Number(length);
    if (found === sizeBytes) return 0;
    throw new LambdaImgError(
      "SIZE_MISMATCH",
      `${label}: size mismatch: expected ${sizeBytes} bytes as stored, the registry has ${found}`,
      { details: { expected: sizeBytes, found } },
    );
  }
  const field = response.header("content-range") ?? "";
  const match = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(field);
  const [from, to, total] = [Number(match?.[1]), Number(match?.[2]), match?.[3] ?? ""];
  const isRight =
    response.status === 206 &&
    from === wantedBytes &&
    to < sizeBytes &&
    to >= from &&
    (total === "*" || Number(total) === sizeBytes);
  if (isRight) return from;
  throw new LambdaImgError(
    "REGISTRY_INVALID",
    `${label}: asked for the bytes from ${wantedBytes} of ${sizeBytes}, answered with status ${response.status} and ${JSON.stringify(field.slice(0, 100))}`,
    { details: { host: response.url.host, status: response.status } },
  );
}

async function* skip(
  body: AsyncIterable<Uint8Array>,
  skipBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  let leftBytes = skipBytes;
  for await (const piece of body) {
    if (leftBytes < piece.length) yield leftBytes === 0 ? piece : piece.subarray(leftBytes);
    leftBytes = Math.max(0, leftBytes - piece.length);
  }
}

/**
 * Larger pieces: sockets give 64 KiB at most, and whatever comes after costs its time by the piece. All of them lie in
 * the same memory, which the garbage collector then need not look after.
 */
async function* gather(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const room = new Uint8Array(PIECE_BYTES);
  let filledBytes = 0;
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const piece of body) {
      if (filledBytes === 0 && piece.length >= LARGE_PIECE_BYTES) {
        yield piece;
        continue;
      }
      for (let rest = piece; rest.length > 0;) {
        const part = rest.subarray(0, PIECE_BYTES - filledBytes);
        room.set(part, filledBytes);
        filledBytes += part.length;
        rest = rest.subarray(part.length);
        if (filledBytes < PIECE_BYTES) continue;
        filledBytes = 0;
        yield room;
      }
    }
  } catch (error) {
    failure = { error }; // What came before it need not be asked for again.
  }
  if (filledBytes > 0) yield room.subarray(0, filledBytes);
  if (failure !== undefined) throw failure.error;
}

function brokenOff({ label, sizeBytes }: ContentSource, receivedBytes: number): LambdaImgError {
  return new LambdaImgError(
    "REGISTRY_UNAVAILABLE",
    `${label}: broken off after ${receivedBytes} of ${sizeBytes} bytes`,
    { details: { expected: sizeBytes, found: receivedBytes } },
  );
}
