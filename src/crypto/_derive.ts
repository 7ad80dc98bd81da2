/** HKDF-SHA-256 (RFC 5869). */
import { createHmac } from "node:crypto";

import { assert } from "../base/error.ts";

/** Bytes of the hash, and so of one block of output; nothing here needs more. */
const BLOCK_BYTES = 32;
/** "If not provided, [the salt] is set to a string of HashLen zeros" (2.2). */
const NO_SALT = new Uint8Array(BLOCK_BYTES);
/** The number of the first block (2.3). */
const FIRST = Uint8Array.of(1);

/**
 * `length` bytes, at most 32, in fresh memory. Each chunk has a key: Node's own hkdfSync makes a key object and a job for it, and takes
 * twice as long.
 */
export function derive(
  secret: Uint8Array,
  use: { readonly info: string; readonly salt?: Uint8Array; readonly length?: number },
): Uint8Array {
  const length = use.length ?? BLOCK_BYTES;
  assert(length <= BLOCK_BYTES, "one block of HKDF's output is enough");
  const pseudorandomKey = createHmac("sha256", use.salt ?? NO_SALT)
    .update(secret)
    .digest();
  const block = createHmac("sha256", pseudorandomKey).update(use.info).update(FIRST).digest();
  return new Uint8Array(block.subarray(0, length));
}
