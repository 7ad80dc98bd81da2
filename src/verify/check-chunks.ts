/** Reads every chunk of an image: is it there, is it what its name says, and do all make the disk image? */
import { isLambdaImgError, LambdaImgError, type ErrorCode } from "../base/error.ts";
import type { Digest } from "../base/digest.ts";
import { forEachLimited } from "../base/pool.ts";
import { DIGEST_BYTES, plainDigestOf } from "../chunk/chunk.ts";
import { DiskDigestBuilder } from "../chunk/disk-digest.ts";
import type { ImageDevice } from "../device/image-device.ts";
import type { ManifestContent } from "../manifest/manifest.ts";

/** A chunk that cannot be served. */
export interface ChunkDamage {
  readonly chunkIndex: number;
  readonly code: ErrorCode;
  readonly message: string;
  /** What the chunk's name or size should be, and what it is; absent for a chunk that is not there. */
  readonly expected?: string | number;
  readonly found?: string | number;
}

/** What was found out about the chunks of an image. */
export interface ChunkReport {
  /** Chunks of the manifest's table, all of which were read. */
  readonly checkedCount: number;
  /** Ascending; at most DAMAGE_COUNT_MAX, the rest is `moreDamaged`. */
  readonly damaged: readonly ChunkDamage[];
  readonly moreDamaged: number;
  /** The digest of the disk image as read; `undefined` where a chunk is damaged. */
  readonly diskDigest: Digest | undefined;
}

const DAMAGE_COUNT_MAX = 1000;
const READS_AT_ONCE = 4;

/**
 * Reads all chunks. A damaged one does not stop it.
 * @throws STORE_NOT_FOUND, STORE_UNAVAILABLE, STORE_FORBIDDEN: a store that cannot be read proves nothing; CANCELLED
 */
export async function checkChunks(
  device: ImageDevice,
  content: ManifestContent,
  options: { readonly signal?: AbortSignal | undefined; onChunk?(checkedCount: number): void } = {},
): Promise<ChunkReport> {
  const digests = new Uint8Array(content.indexes.length * DIGEST_BYTES);
  const damaged: ChunkDamage[] = [];
  let moreDamaged = 0;
  let checkedCount = 0;
  await forEachLimited(content.indexes.entries(), READS_AT_ONCE, async ([position, chunkIndex]) => {
    if (options.signal?.aborted === true) throw new LambdaImgError("CANCELLED", "cancelled");
    try {
      const plain = await device.readChunk(chunkIndex);
      if (plain !== undefined) digests.set(plainDigestOf(plain), position * DIGEST_BYTES);
    } catch (error) {
      const damage = damageOf(chunkIndex, error);
      if (damaged.length < DAMAGE_COUNT_MAX) damaged.push(damage);
      else moreDamaged++;
    }
    checkedCount++;
    options.onChunk?.(checkedCount);
  });
  damaged.sort((left, right) => left.chunkIndex - right.chunkIndex);
  const diskDigest = damaged.length > 0 ? undefined : diskDigestOf(content, digests);
  return { checkedCount, damaged, moreDamaged, diskDigest };
}

function diskDigestOf(content: ManifestContent, digests: Uint8Array): Digest {
  const builder = new DiskDigestBuilder();
  let next = 0;
  for (const [position, chunkIndex] of content.indexes.entries()) {
    builder.addZero(chunkIndex - next);
    builder.add(digests.subarray(position * DIGEST_BYTES, (position + 1) * DIGEST_BYTES));
    next = chunkIndex + 1;
  }
  builder.addZero(content.diskChunkCount - next);
  return builder.finish();
}

function damageOf(chunkIndex: number, error: unknown): ChunkDamage {
  if (!isLambdaImgError(error, "CHUNK_CORRUPT", "CHUNK_NOT_FOUND")) throw error;
  const { code, message, details } = error;
  const { expected, found } = details;
  return {
    chunkIndex,
    code,
    message,
    ...(expected === undefined ? {} : { expected }),
    ...(found === undefined ? {} : { found }),
  };
}
