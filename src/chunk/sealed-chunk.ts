/** Whether bytes are the sealed chunk that a name stands for. */
import { LambdaImgError } from "../base/error.ts";
import { CHUNK_BYTES, chunkNameOf, type ChunkName } from "./chunk.ts";

/** @throws CHUNK_CORRUPT for another size than CHUNK_BYTES */
export function checkSealedSize(name: ChunkName, sizeBytes: number): void {
  if (sizeBytes === CHUNK_BYTES) return;
  throw new LambdaImgError(
    "CHUNK_CORRUPT",
    `chunk ${name}: expected ${CHUNK_BYTES} bytes, found ${sizeBytes}`,
    { details: { name, expected: CHUNK_BYTES, found: sizeBytes } },
  );
}

/** @throws CHUNK_CORRUPT where the SHA-256 is not the name */
export function checkSealedDigest(name: ChunkName, sealed: Uint8Array): void {
  const found = chunkNameOf(sealed);
  if (found === name) return;
  throw new LambdaImgError(
    "CHUNK_CORRUPT",
    `digest mismatch: expected sha256:${name}, found sha256:${found}`,
    { details: { expected: `sha256:${name}`, found: `sha256:${found}` } },
  );
}
