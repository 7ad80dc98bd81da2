/** Cuts that are drawn: by digests of names, so that two versions of a thing have them before the same ones. */

/**
 * True where what was drawn for `size` calls for a cut, so that one comes about once in `sizePerCut`: below 2^32 * size / sizePerCut.
 * `drawn` are 32 bits of a digest.
 */
export function isCutBefore(drawn: number, size: number, sizePerCut: number): boolean {
  // Both sides are integers below 2^53: no rounding decides.
  return drawn * sizePerCut < size * 2 ** 32;
}
