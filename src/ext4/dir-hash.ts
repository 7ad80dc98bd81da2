/**
 * The hash that orders an indexed directory: half MD4 over unsigned characters (kernel fs/ext4/hash.c,
 * "Half MD4"; documentation "Hash Tree Directories").
 */
import type { ByteString } from "../base/bytes.ts";

/** EXT4_HTREE_EOF_32BIT: a position that the kernel keeps for "end of directory". */
const HTREE_EOF_32BIT = 0x7fffffff;
const NAME_BYTES_A_ROUND = 32;
const K2 = 0x5a827999;
const K3 = 0x6ed9eba1;

/** The hash decides; the minor hash orders names within it. Unsigned 32-bit numbers. */
export interface DirHash {
  readonly hash: number;
  readonly minor: number;
}

/** Hashes a name with the file system's seed (four 32-bit words; s_hash_seed). */
export function hashName(name: ByteString, seed: readonly [number, number, number, number]): DirHash {
  const state = new Uint32Array(seed);
  const words = new Uint32Array(8);
  for (let at = 0; at < name.length; at += NAME_BYTES_A_ROUND) {
    fillWords(words, name, at);
    halfMd4(state, words);
  }
  // The low bit marks "continued in the next block" in the index, and the last position is taken.
  let hash = ((state[1] ?? 0) & ~1) >>> 0;
  if (hash === (HTREE_EOF_32BIT << 1) >>> 0) hash = ((HTREE_EOF_32BIT - 1) << 1) >>> 0;
  return { hash, minor: state[2] ?? 0 };
}

/** str2hashbuf_unsigned: 32 bytes of the name as 8 big-endian words, the rest filled with the length left. */
function fillWords(words: Uint32Array, name: ByteString, from: number): void {
  const left = name.length - from;
  let pad = (left | (left << 8)) >>> 0;
  pad = (pad | (pad << 16)) >>> 0;
  words.fill(pad);
  const taken = Math.min(left, NAME_BYTES_A_ROUND);
  let value = pad;
  for (let i = 0; i < taken; i++) {
    value = (name.charCodeAt(from + i) + (value << 8)) >>> 0;
    if (i % 4 === 3) {
      words[i >> 2] = value;
      value = pad;
    }
  }
  if (taken < NAME_BYTES_A_ROUND) words[taken >> 2] = value;
}

const ROUND_1 = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const ROUND_2 = [1, 3, 5, 7, 0, 2, 4, 6] as const;
const ROUND_3 = [3, 7, 2, 6, 1, 5, 0, 4] as const;
const SHIFTS_1 = [3, 7, 11, 19] as const;
const SHIFTS_2 = [3, 5, 9, 13] as const;
const SHIFTS_3 = [3, 9, 11, 15] as const;

/** half_md4_transform: three rounds of eight steps. */
function halfMd4(state: Uint32Array, words: Uint32Array): void {
  let [a, b, c, d] = [state[0] ?? 0, state[1] ?? 0, state[2] ?? 0, state[3] ?? 0];
  const step = (mixed: number, shift: number): void => {
    const sum = (a + mixed) >>> 0;
    const turned = ((sum << shift) | (sum >>> (32 - shift))) >>> 0;
    // The next step's a, b, c, d: what the kernel's macro writes as ROUND(f, d, a, b, c, …).
    [a, b, c, d] = [d, turned, b, c];
  };
  ROUND_1.forEach((word, i) => {
    step((d ^ (b & (c ^ d))) + (words[word] ?? 0), SHIFTS_1[i % 4] ?? 0);
  });
  ROUND_2.forEach((word, i) => {
    step((b & c) + ((b ^ c) & d) + (words[word] ?? 0) + K2, SHIFTS_2[i % 4] ?? 0);
  });
  ROUND_3.forEach((word, i) => {
    step((b ^ c ^ d) + (words[word] ?? 0) + K3, SHIFTS_3[i % 4] ?? 0);
  });
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
}
