/** gzip members around deflate data, to hold our inflater against node:zlib. */
import { gzipSync, inflateRawSync } from "node:zlib";

import { concatBytes } from "../../src/base/bytes.ts";
import { isLambdaImgError } from "../../src/base/error.ts";
import { decompress } from "../../src/oci/decompress.ts";
import { collect } from "./oci-layout.ts";

/** The bytes in pieces of a size, each in memory of its own. */
export async function* slices(bytes: Uint8Array, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    await Promise.resolve();
    yield bytes.slice(at, at + sizeBytes);
  }
}

/** A gzip member around deflate data that gives `plain`. */
export function memberOf(deflated: Uint8Array, plain: Uint8Array): Uint8Array {
  const ending = gzipSync(plain).subarray(-8);
  return concatBytes(Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3), deflated, new Uint8Array(ending));
}

/** What our inflater makes of deflate data, or why it refuses it. What follows the data's end is not part of it. */
export async function inflateOurs(
  deflated: Uint8Array,
  sizeBytes: number = 1 << 20,
): Promise<Uint8Array | string> {
  const expected = zlibResult(deflated);
  const used = expected === undefined ? deflated : deflated.subarray(0, expected.usedBytes);
  const member = memberOf(used, expected?.bytes ?? new Uint8Array(0));
  try {
    return await collect(decompress(slices(member, sizeBytes), "x"));
  } catch (error) {
    if (!isLambdaImgError(error, "LAYER_INVALID")) throw error;
    // The data itself was taken, and only the made-up end is wrong: then zlib has refused what we do not.
    if (/CRC-32|ISIZE|follow/.test(error.message)) return new Uint8Array(0);
    return error.message;
  }
}

/** What node:zlib makes of it, or why it refuses it. */
export function inflateZlib(deflated: Uint8Array): Uint8Array | string {
  return zlibResult(deflated)?.bytes ?? "refused";
}

function zlibResult(deflated: Uint8Array): { bytes: Uint8Array; usedBytes: number } | undefined {
  try {
    // The types do not know that with `info` it gives an object.
    const { buffer, engine } = inflateRawSync(deflated, { info: true }) as unknown as {
      buffer: Uint8Array;
      engine: { bytesWritten: number };
    };
    return { bytes: new Uint8Array(buffer), usedBytes: engine.bytesWritten };
  } catch {
    return undefined;
  }
}

/** Random bytes of few values, with stretches that repeat from near and far. */
export function repeating(sizeBytes: number, values: number, start: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = start;
  const next = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) >>> 8;
  for (let at = 0; at < sizeBytes;) {
    const kind = next() % 4;
    const count = Math.min(1 + (next() % 300), sizeBytes - at);
    const distance = 1 + (next() % (kind === 1 ? 40 : 32_768));
    for (const end = at + count; at < end; at++) {
      bytes[at] = kind < 2 && at >= distance ? (bytes[at - distance] ?? 0) : next() % values;
    }
  }
  return bytes;
}
