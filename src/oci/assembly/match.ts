/** Matches: how long and how far (RFC 1951, 3.2.5), and their bytes. */

/** The extra bits that follow a code (RFC 1951, 3.2.5); `buffer` begins with the code. */
export function extraBits(buffer: u64, entry: u32): usize {
  return <usize>((buffer & ~((<u64>-1) << (<u64>entry))) >> ((entry >> 8) & 0xf));
}

/** Copies a match, which may overlap itself, and up to 15 bytes more behind it. */
export function copyMatch(to: usize, distance: usize, length: usize): void {
  const end = to + length;
  let from = to - distance;
  if (distance >= 16) {
    do {
      v128.store(to, v128.load(from));
      from += 16;
      to += 16;
    } while (to < end);
  } else if (distance == 1) {
    const pattern = i8x16.splat(load<i8>(from));
    do {
      v128.store(to, pattern);
      to += 16;
    } while (to < end);
  } else {
    // Of each word the first `distance` bytes are right, at least; the next step mends the others.
    const step: usize = distance >= 8 ? 8 : distance;
    do {
      store<u64>(to, load<u64>(from));
      from += step;
      to += step;
    } while (to < end);
  }
}
