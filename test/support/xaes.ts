/** XAES-256-GCM once more, from c2sp.org/XAES-256-GCM, with bigint arithmetic and the AES of noble. */
import { ecb, gcm } from "@noble/ciphers/aes.js";

import { hex, join, unhex } from "./noble.ts";

/** The cipher for one message; `nonce` has 24 bytes. */
export function nobleXaes(
  key: Uint8Array,
  nonce: Uint8Array,
  associated: Uint8Array,
): ReturnType<typeof gcm> {
  const encrypt = (block: Uint8Array): Uint8Array => ecb(key, { disablePadding: true }).encrypt(block);
  const first = BigInt(`0x${hex(encrypt(new Uint8Array(16)))}`);
  const subkey = ((first << 1n) ^ (first >> 127n === 1n ? 0x87n : 0n)) & ((1n << 128n) - 1n);
  const half = (index: number): Uint8Array => {
    const message = BigInt(`0x000${index}5800${hex(nonce.subarray(0, 12))}`);
    return encrypt(unhex((message ^ subkey).toString(16).padStart(32, "0")));
  };
  return gcm(join(half(1), half(2)), nonce.subarray(12), associated);
}
