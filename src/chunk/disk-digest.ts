/** The digest of a whole disk image, made from the digests of its chunks. docs/format/chunk.md, "Disk digest". */
import { assert } from "../base/error.ts";
import { DigestBuilder, type Digest } from "../base/digest.ts";
import { DIGEST_BYTES, ZERO_CHUNK_DIGEST } from "./chunk.ts";

// Long runs of zero chunks are the rule in a sparse disk image: one update for 1024 of them.
const ZERO_RUN_CHUNKS = 1024;

/**
 * SHA-256 over the SHA-256 digests of all plain chunks in order, zero chunks included. It names the disk
 * image's bytes without a second pass over them.
 */
export class DiskDigestBuilder {
  readonly #digest: DigestBuilder = new DigestBuilder("sha256");
  #zeroRun: Uint8Array | undefined;

  /** Takes the digest (32 bytes) of the next plain chunk. */
  add(plainDigest: Uint8Array): void {
    assert(plainDigest.length === DIGEST_BYTES, "a plain digest has 32 bytes");
    this.#digest.update(plainDigest);
  }

  /** The next `count` chunks are zero. */
  addZero(count: number): void {
    assert(Number.isSafeInteger(count) && count >= 0, "a count of zero chunks is a whole number");
    this.#zeroRun ??= zeroRun();
    for (let left = count; left > 0; left -= ZERO_RUN_CHUNKS) {
      this.#digest.update(this.#zeroRun.subarray(0, Math.min(left, ZERO_RUN_CHUNKS) * DIGEST_BYTES));
    }
  }

  /** The disk digest; call it once, after the last chunk. */
  finish(): Digest {
    return this.#digest.finish();
  }
}

function zeroRun(): Uint8Array {
  const run = new Uint8Array(ZERO_RUN_CHUNKS * DIGEST_BYTES);
  for (let at = 0; at < run.length; at += DIGEST_BYTES) run.set(ZERO_CHUNK_DIGEST, at);
  return run;
}
