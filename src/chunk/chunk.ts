/** The unit of storage: 512 KiB of a disk image, and what names it. docs/format/chunk.md. */
import { sha256 } from "../base/digest.ts";
import { fromHex, toHex } from "../base/bytes.ts";
import { KIB } from "../base/units.ts";

declare const chunkName: unique symbol;
declare const plainDigest: unique symbol;

/** Bytes of every chunk, plain or sealed; a disk image is a whole number of them. */
export const CHUNK_BYTES: number = 512 * KIB;

/** Bytes of a SHA-256: of a chunk's name, plain digest and key. */
export const DIGEST_BYTES = 32;

/** What a chunk is stored under: the SHA-256 of the sealed chunk, 64 lower-case hexadecimal digits. */
export type ChunkName = string & { readonly [chunkName]: true };

/** The SHA-256 of a plain chunk, 32 bytes. The chunk's key follows from it: not for logs. */
export type PlainDigest = Uint8Array & { readonly [plainDigest]: true };

/** The SHA-256 of 512 KiB of zeros. */
export const ZERO_CHUNK_DIGEST: PlainDigest = fromHex(
  "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541",
) as PlainDigest;

/** The name of a sealed chunk. */
export function chunkNameOf(sealed: Uint8Array): ChunkName {
  return toHex(sha256(sealed)) as ChunkName;
}

/** The SHA-256 of a plain chunk, in fresh memory. */
export function plainDigestOf(plain: Uint8Array): PlainDigest {
  return sha256(plain) as PlainDigest;
}

/** The name whose 32 bytes start at `offset` of a table of names. */
export function chunkNameAt(names: Uint8Array, offset: number): ChunkName {
  return toHex(names.subarray(offset, offset + DIGEST_BYTES)) as ChunkName;
}

/** The 32 bytes of a name, in fresh memory. */
export function chunkNameBytes(name: ChunkName): Uint8Array {
  return fromHex(name);
}
