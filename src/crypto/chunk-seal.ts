/** Convergent encryption of chunks: equal plain chunks and salts give equal sealed chunks. docs/format/chunk.md. */
import { createCipheriv, createDecipheriv } from "node:crypto";

import { assert } from "../base/error.ts";
import {
  CHUNK_BYTES,
  chunkNameOf,
  DIGEST_BYTES,
  plainDigestOf,
  type ChunkName,
  type PlainDigest,
} from "../chunk/chunk.ts";
import { derive } from "./_derive.ts";
import type { Salt } from "./salt.ts";

declare const chunkKey: unique symbol;

/** The 32 bytes that open one chunk. Secret. */
export type ChunkKey = Uint8Array & { readonly [chunkKey]: true };

/** A chunk as it is stored, and what its manifest needs to know. All in fresh memory. */
export interface SealedChunk {
  readonly plainDigest: PlainDigest;
  readonly key: ChunkKey;
  readonly name: ChunkName;
  readonly sealed: Uint8Array;
}

const INFO = "lambda-img chunk v1";
// A key is used for one plaintext only, since it follows from the plaintext: so the counter may start at zero.
const IV_ZERO = new Uint8Array(16);

/** Seals a plain chunk: a pure function of its bytes and the salt. The bytes may lie in shared memory. */
export function sealChunk(plain: Uint8Array, salt: Salt): SealedChunk {
  assert(plain.length === CHUNK_BYTES, "a plain chunk has 512 KiB");
  const plainDigest = plainDigestOf(plain);
  const key = derive(plainDigest, { salt, info: INFO }) as ChunkKey;
  const sealed = bytesOf(createCipheriv("aes-256-ctr", key, IV_ZERO).update(plain));
  return { plainDigest, key, name: chunkNameOf(sealed), sealed };
}

/**
 * The plain chunk, in fresh memory. AES-CTR opens anything: the caller has compared the sealed chunk's
 * SHA-256 with its name before.
 */
export function openChunk(sealed: Uint8Array, key: ChunkKey): Uint8Array {
  assert(sealed.length === CHUNK_BYTES, "a sealed chunk has 512 KiB");
  return bytesOf(createDecipheriv("aes-256-ctr", key, IV_ZERO).update(sealed));
}

/** The key at a place of a manifest's key table, as a view. */
export function chunkKeyAt(keys: Uint8Array, position: number): ChunkKey {
  const key = keys.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES);
  assert(key.length === DIGEST_BYTES, "the place is in the key table");
  return key as ChunkKey;
}

/** A Buffer prints and slices in its own way; what leaves is a plain Uint8Array on the same memory. */
function bytesOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
