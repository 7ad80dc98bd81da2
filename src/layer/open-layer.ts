/** A layer's uncompressed tar, verified while it streams: the one door through which layers come in. */
import { DigestBuilder, digestAlgorithm } from "../base/digest.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { showBytes } from "../base/units.ts";
import type { Compression } from "../oci/compression.ts";
import { decompressLent } from "../oci/decompress.ts";
import { StoredBytes, type StoredLayer } from "./_stored-bytes.ts";

/** A layer to open; source/ gives it as LayerStream. */
export interface LayerInput {
  readonly descriptor: StoredLayer;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** What limits a layer. */
export interface OpenLayerOptions {
  /** Of the uncompressed tar. */
  readonly layerBytesMax: number;
}

/** What `openLayer` does, wherever it is done. */
export type OpenLayer = (
  stream: LayerInput,
  options: OpenLayerOptions,
) => AsyncGenerator<Uint8Array, void, undefined>;

/**
 * Yields the bytes of the layer's tar, lent: a piece is good until the next one is asked for. Only the end of the stream says that they were
 * right: stored size and digest, compression and diff ID are verified by then. A caller may stop early.
 * @throws SIZE_MISMATCH, DIGEST_MISMATCH, DIFF_ID_MISMATCH, LAYER_INVALID, COMPRESSION_UNSUPPORTED, LAYER_TOO_LARGE,
 *   and what the source throws
 */
export async function* openLayer(
  stream: LayerInput,
  options: OpenLayerOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { descriptor } = stream;
  const stored = new StoredBytes(stream.bytes, descriptor);
  const diffId = new DigestBuilder(digestAlgorithm(descriptor.diffId));
  let sizeBytes = 0;
  // Bytes that are not compressed are hashed once where both digests are one: as stored.
  const hashing = { isAsStored: false };
  const onCompression = (compression: Compression): void => {
    hashing.isAsStored = compression === "none" && descriptor.stored?.digest === descriptor.diffId;
  };
  try {
    for await (const piece of decompressLent(stored.pieces(), descriptor.label, onCompression)) {
      sizeBytes += piece.length;
      if (sizeBytes > options.layerBytesMax) throw tooLarge(descriptor.label, options.layerBytesMax);
      if (!hashing.isAsStored) diffId.update(piece);
      yield piece;
    }
    await stored.drain();
  } catch (error) {
    // Damaged on the way, or made so? Only the digest of all stored bytes tells: a mismatch is the better answer.
    if (isLambdaImgError(error, "LAYER_INVALID", "COMPRESSION_UNSUPPORTED")) await stored.drain();
    throw error;
  } finally {
    await stored.close();
  }
  if (hashing.isAsStored) return;
  const found = diffId.finish();
  if (found === descriptor.diffId) return;
  throw new LambdaImgError(
    "DIFF_ID_MISMATCH",
    `${descriptor.label}: diff ID mismatch: the uncompressed layer's digest should be ${descriptor.diffId}, found ${found}`,
    { details: { expected: descriptor.diffId, found } },
  );
}

function tooLarge(label: string, layerBytesMax: number): LambdaImgError {
  return new LambdaImgError(
    "LAYER_TOO_LARGE",
    `${label}: layer too large: more than the limit of ${showBytes(layerBytesMax)} uncompressed; raise it with --max-layer-size`,
    { details: { limitBytes: layerBytesMax } },
  );
}
