/**
 * The formats once more, straight from docs/format with another implementation of every primitive: what this
 * file computes and what src/crypto computes must be equal.
 */
import { ctr, gcm } from "@noble/ciphers/aes.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

export { sha256 };

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
export const unhex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

export function derive(secret: Uint8Array, info: string, salt?: Uint8Array, length = 32): Uint8Array {
  return hkdf(sha256, secret, salt, utf8(info), length);
}

export function u16(value: number): Uint8Array {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

export function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** `pattern` over and over, cut at 512 KiB. */
export function repeatedChunk(pattern: string): Uint8Array {
  return new Uint8Array(Buffer.alloc(524288, Buffer.from(pattern, "hex")));
}

export interface SaltInput {
  readonly rootId: string;
  readonly epoch: number;
  readonly placement: string;
  readonly tenantSecret: string;
}

export function saltEncoding(input: SaltInput): Uint8Array {
  const fields = [
    utf8("lambda-img salt v1"),
    utf8(input.rootId),
    u64(input.epoch),
    utf8(input.placement),
    unhex(input.tenantSecret),
  ];
  return join(...fields.flatMap((field) => [u32(field.length), field]));
}

export interface NobleChunk {
  readonly plainDigest: Uint8Array;
  readonly key: Uint8Array;
  readonly sealed: Uint8Array;
  readonly name: string;
}

export function sealWithNoble(plain: Uint8Array, salt: Uint8Array): NobleChunk {
  const plainDigest = sha256(plain);
  const key = derive(plainDigest, "lambda-img chunk v1", salt);
  const sealed = ctr(key, new Uint8Array(16)).encrypt(plain);
  return { plainDigest, key, sealed, name: hex(sha256(sealed)) };
}

export interface NobleManifest {
  readonly contentMac: Uint8Array;
  readonly sealingKey: Uint8Array;
  readonly bytes: Uint8Array;
}

/** `record` is the canonical JSON of the image record. */
export function sealManifestWithNoble(content: {
  readonly customerKey: Uint8Array;
  readonly diskChunkCount: number;
  readonly chunks: readonly { readonly index: number; readonly name: string; readonly key: string }[];
  readonly record: string;
}): NobleManifest {
  const record = utf8(content.record);
  const secrets = join(...content.chunks.map((chunk) => unhex(chunk.key)), u32(record.length), record);
  const start = join(
    utf8("LIMGMFST"),
    u16(1),
    u16(0),
    u32(524288),
    u32(content.diskChunkCount),
    u32(content.chunks.length),
    u32(secrets.length + 16),
  );
  const table = join(...content.chunks.flatMap((chunk) => [u32(chunk.index), unhex(chunk.name)]));
  const macKey = derive(content.customerKey, "lambda-img manifest mac v1");
  const contentMac = hmac(sha256, macKey, join(start, table, secrets));
  const sealingKey = derive(content.customerKey, "lambda-img manifest v1", contentMac);
  const clear = join(start, contentMac, table);
  const sealed = gcm(sealingKey, new Uint8Array(12), clear).encrypt(secrets);
  return { contentMac, sealingKey, bytes: join(clear, sealed) };
}
