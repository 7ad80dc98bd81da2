// ⚡ uses: chance
/** Seals the pages and tables of an overlay: XAES-256-GCM (c2sp.org/XAES-256-GCM). docs/format/overlay.md. */
import { createCipheriv, createDecipheriv, randomBytes, randomFillSync, type Cipher } from "node:crypto";

import { assert } from "../base/error.ts";
import { derive } from "./_derive.ts";

declare const overlayKey: unique symbol;

/** The 32 bytes that an overlay is sealed with. Secret. */
export type OverlayKey = Uint8Array & { readonly [overlayKey]: true };

const KEY_BYTES = 32;
const NONCE_BYTES = 24;
const TAG_BYTES = 16;
const SALT_BYTES = 32;
/** What sealing adds: a nonce of 24 bytes and a tag of 16. */
export const SEAL_BYTES: number = NONCE_BYTES + TAG_BYTES;

const BLOCK_BYTES = 16;
/** Of a nonce, the part that the key of one message is made of; the other half is GCM's own. */
const KEY_NONCE_BYTES = 12;
const NONCES_AT_ONCE = 128;

/** 32 bytes as a key (the same memory). */
export function asOverlayKey(bytes: Uint8Array): OverlayKey {
  assert(bytes.length === KEY_BYTES, "an overlay key has 32 bytes");
  return bytes as OverlayKey;
}

/** A fresh key, for an overlay that ends with its process. */
export function makeOverlayKey(): OverlayKey {
  return asOverlayKey(Uint8Array.from(randomBytes(KEY_BYTES)));
}

/** A fresh salt for `overlaySealers`: 32 bytes, no secret. */
export function makeOverlaySalt(): Uint8Array {
  return Uint8Array.from(randomBytes(SALT_BYTES));
}

/** The sealers of one overlay file. The salt is the file's own, so that nothing of one file opens in another. */
export function overlaySealers(
  key: OverlayKey,
  salt: Uint8Array,
): { readonly pages: OverlaySealer; readonly tables: OverlaySealer } {
  return {
    pages: new OverlaySealer(asOverlayKey(derive(key, { salt, info: "lambda-img overlay pages v1" }))),
    tables: new OverlaySealer(asOverlayKey(derive(key, { salt, info: "lambda-img overlay tables v1" }))),
  };
}

/**
 * Seals and opens under one key. Every message has a nonce of 24 random bytes, half of which goes into the key of
 * that message: so neither a crash nor a copy of the file that is used again can bring a nonce back, and 2^80
 * messages may be sealed before chance does.
 */
export class OverlaySealer {
  /** ECB has no state between blocks: one cipher serves all messages. */
  readonly #blocks: Cipher;
  /** K1 of CMAC (NIST SP 800-38B, 6.1). */
  readonly #subkey: Uint8Array;
  readonly #nonces: Uint8Array = new Uint8Array(NONCES_AT_ONCE * NONCE_BYTES);
  #noncesUsed = NONCES_AT_ONCE;

  constructor(key: OverlayKey) {
    this.#blocks = createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    this.#subkey = doubled(this.#blocks.update(new Uint8Array(BLOCK_BYTES)));
  }

  /** Writes the ciphertext to `target` (as long as `plain`), nonce and tag to `seal` (SEAL_BYTES). */
  seal(
    plain: Uint8Array,
    associated: Uint8Array,
    into: { readonly target: Uint8Array; readonly seal: Uint8Array },
  ): void {
    const { target, seal } = into;
    assert(target.length === plain.length && seal.length === SEAL_BYTES, "there is room for what is sealed");
    const nonce = this.#nextNonce();
    const cipher = createCipheriv("aes-256-gcm", this.#messageKey(nonce), nonce.subarray(KEY_NONCE_BYTES));
    cipher.setAAD(associated);
    target.set(cipher.update(plain));
    cipher.final();
    seal.set(nonce);
    seal.set(cipher.getAuthTag(), NONCE_BYTES);
  }

  /** The plaintext in fresh memory, or `undefined` where bytes, associated bytes, seal or key are not those of sealing. */
  open(sealed: Uint8Array, associated: Uint8Array, seal: Uint8Array): Uint8Array | undefined {
    assert(seal.length === SEAL_BYTES, "a seal has 40 bytes");
    const key = this.#messageKey(seal);
    const decipher = createDecipheriv("aes-256-gcm", key, seal.subarray(KEY_NONCE_BYTES, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(associated);
    decipher.setAuthTag(seal.subarray(NONCE_BYTES));
    const opened = decipher.update(sealed);
    try {
      decipher.final();
      return new Uint8Array(opened.buffer, opened.byteOffset, opened.byteLength);
    } catch {
      return undefined; // It has one way to fail: the tag does not fit.
    }
  }

  #nextNonce(): Uint8Array {
    if (this.#noncesUsed === NONCES_AT_ONCE) {
      randomFillSync(this.#nonces);
      this.#noncesUsed = 0;
    }
    const at = this.#noncesUsed++ * NONCE_BYTES;
    return this.#nonces.subarray(at, at + NONCE_BYTES);
  }

  /** AES(K, M1 xor K1) || AES(K, M2 xor K1), where Mi is 00, i, "X", 00 and half of the nonce. */
  #messageKey(nonce: Uint8Array): Uint8Array {
    const blocks = new Uint8Array(2 * BLOCK_BYTES);
    for (let i = 0; i < 2; i++) {
      const block = blocks.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
      block.set([0, i + 1, 0x58, 0]);
      block.set(nonce.subarray(0, KEY_NONCE_BYTES), BLOCK_BYTES - KEY_NONCE_BYTES);
      for (let at = 0; at < BLOCK_BYTES; at++) block[at] = (block[at] ?? 0) ^ (this.#subkey[at] ?? 0);
    }
    return this.#blocks.update(blocks);
  }
}

/** Twice the block in GF(2^128), in a time that does not depend on it. */
function doubled(block: Uint8Array): Uint8Array {
  const target = new Uint8Array(BLOCK_BYTES);
  for (let at = 0; at < BLOCK_BYTES; at++) {
    target[at] = ((block[at] ?? 0) << 1) | ((block[at + 1] ?? 0) >>> 7);
  }
  const carry = (block[0] ?? 0) >>> 7;
  target[BLOCK_BYTES - 1] = (target[BLOCK_BYTES - 1] ?? 0) ^ (0x87 & -carry);
  return target;
}
