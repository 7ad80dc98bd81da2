/** Where a segment skips to the next chunk boundary (docs/format/disk-image.md, "Cuts"). */
import { fromByteString, viewOf, type ByteString } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";

/**
 * A cut comes about every 4 MiB (1024 blocks): a change of one file's size then moves its own group only. Cuts
 * about every 1 MiB share a little more but leave more half-filled chunks; measured in docs/benchmarks.md.
 */
export const BLOCKS_PER_CUT = 1024;

/**
 * Decides from the file alone, so that its neighbours do not matter: cut where the first 32 bits of the SHA-256 of
 * its path (as in the archive), little-endian, lie below 2^32 * blockCount / BLOCKS_PER_CUT.
 */
export function isCutBefore(path: ByteString, blockCount: number): boolean {
  if (blockCount >= BLOCKS_PER_CUT) return true;
  const drawn = viewOf(sha256(fromByteString(path))).getUint32(0, true);
  // Both sides are integers below 2^53: no rounding decides.
  return drawn * BLOCKS_PER_CUT < blockCount * 2 ** 32;
}
