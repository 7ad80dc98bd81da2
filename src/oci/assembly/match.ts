/** The bytes of a match. Its distance may be shorter than a word, so that it overlaps itself. */
import { ONWARD, PATTERNS } from "./layout";

/** Made once. */
export function makePatterns(): void {
  for (let distance: usize = 1; distance <= 16; distance++) {
    for (let index: usize = 0; index < 16; index++)
      store<u8>(PATTERNS + (distance << 4) + index, <u8>(index % distance));
    store<u8>(ONWARD + distance, <u8>((15 % distance) + 1));
  }
}

/**
 * Copies a match, and up to 31 bytes more behind it. Of a layer's matches a fortieth are longer than 32 bytes, but a
 * twelfth are nearer than 16: to ask for that costs more than to treat all distances alike.
 */
export function copyMatch(to: usize, distance: usize, length: usize): void {
  const near = distance < 16 ? distance : 16;
  const from = to - distance;
  // The first word is one period again and again; from 16 bytes on it is what is there.
  v128.store(to, v128.swizzle(v128.load(from), v128.load(near << 4, PATTERNS)));
  // The second word is what stands 16 bytes further on, or where the period is as far as there.
  v128.store(to, v128.load(from + load<u8>(near, ONWARD)), 16);
  if (length > 32) copyRest(to, distance, length);
}

/** Goes on behind the first 32 bytes. */
function copyRest(to: usize, distance: usize, length: usize): void {
  const end = to + length;
  if (distance >= 16) {
    for (let at = to + 32; at < end; at += 16) v128.store(at, v128.load(at - distance));
  } else {
    const word = v128.load(to);
    const step = 16 - (16 % distance);
    for (let at = to + step; at < end; at += step) v128.store(at, word);
  }
}
