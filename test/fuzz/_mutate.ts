/** Chance that repeats, and bytes that are damaged by it. */

/** A linear congruential generator: the same numbers for the same seed, everywhere. */
export function makeChance(start: number): (bound: number) => number {
  let state = start >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** One to three bytes or stretches changed, cut off, put in or doubled. */
export function mutate(bytes: Uint8Array, below: (bound: number) => number): Uint8Array {
  let changed = Uint8Array.from(bytes);
  for (let count = 1 + below(3); count > 0; count--) {
    const at = below(changed.length + 1);
    const kind = below(4);
    if (kind === 0 && changed.length > 0) changed[at % changed.length] = below(256);
    else if (kind === 1) changed = changed.slice(0, at);
    else if (kind === 2)
      changed = Uint8Array.from([...changed.subarray(0, at), below(256), ...changed.subarray(at)]);
    else changed = Uint8Array.from([...changed, ...changed.subarray(at)]);
  }
  return changed;
}
