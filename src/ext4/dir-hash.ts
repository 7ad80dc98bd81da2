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
  STATE.set(seed);
  for (let at = 0; at < name.length; at += NAME_BYTES_A_ROUND) {
    fillWords(WORDS, name, at);
    halfMd4(STATE, WORDS);
  }
  // The low bit marks "continued in the next block" in the index, and the last position is taken.
  let hash = ((STATE[1] ?? 0) & ~1) >>> 0;
  if (hash === (HTREE_EOF_32BIT << 1) >>> 0) hash = ((HTREE_EOF_32BIT - 1) << 1) >>> 0;
  return { hash, minor: (STATE[2] ?? 0) >>> 0 };
}

// For all names: an image has millions, and memory of its own for each would cost more than its hash.
const STATE = new Int32Array(4);
const WORDS = new Int32Array(8);

/** str2hashbuf_unsigned: 32 bytes of the name as 8 big-endian words, the rest filled with the length left. */
function fillWords(words: Int32Array, name: ByteString, from: number): void {
  const left = name.length - from;
  let pad = left | (left << 8);
  pad |= pad << 16;
  words.fill(pad);
  const taken = Math.min(left, NAME_BYTES_A_ROUND);
  let value = pad;
  for (let i = 0; i < taken; i++) {
    value = (name.charCodeAt(from + i) + (value << 8)) | 0;
    if (i % 4 === 3) {
      words[i >> 2] = value;
      value = pad;
    }
  }
  if (taken < NAME_BYTES_A_ROUND) words[taken >> 2] = value;
}

/** Three rounds of eight steps: which word a step adds, and how far it turns. */
const ORDERS = Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 1, 3, 5, 7, 0, 2, 4, 6, 3, 7, 2, 6, 1, 5, 0, 4);
const SHIFTS = Uint8Array.of(
  3,
  7,
  11,
  19,
  3,
  7,
  11,
  19,
  3,
  5,
  9,
  13,
  3,
  5,
  9,
  13,
  3,
  9,
  11,
  15,
  3,
  9,
  11,
  15,
);
const ROUND_2_STEP = 8;
const ROUND_3_STEP = 16;

/** half_md4_transform. What the kernel's macro writes as ROUND(f, d, a, b, c, ...) next, is the turn of the four variables here. */
function halfMd4(state: Int32Array, words: Int32Array): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  for (let step = 0; step < ORDERS.length; step++) {
    let mixed = words[ORDERS[step] ?? 0] ?? 0;
    if (step < ROUND_2_STEP) mixed += d ^ (b & (c ^ d));
    else if (step < ROUND_3_STEP) mixed += (b & c) + ((b ^ c) & d) + K2;
    else mixed += (b ^ c ^ d) + K3;
    const turned = turn((a + mixed) | 0, SHIFTS[step] ?? 0);
    a = d;
    d = c;
    c = b;
    b = turned;
  }
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
}

function turn(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
