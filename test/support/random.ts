/** Chance that repeats: the same numbers and bytes for the same seed, everywhere. */

/** Numbers from 0 to 2^32 - 1 (mulberry32). */
function wordsOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Numbers from 0 to 1. */
export function randomOf(seed: number): () => number {
  const word = wordsOf(seed);
  return () => word() / 2 ** 32;
}

/** Whole numbers from 0 to below the bound. */
export function randomBelow(seed: number): (bound: number) => number {
  const word = wordsOf(seed);
  return (bound) => word() % bound;
}

/** Bytes without a period that a block or a chunk has, so that one put in another's place is seen. */
export function noise(sizeBytes: number, seed = 1): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: sizeBytes }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}
