/** A layer's uncompressed tar, verified while it streams: the one door through which layers come in. */
import { digestAlgorithm } from "../base/digest.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { MIB, showBytes } from "../base/units.ts";
import type { Compression } from "../oci/compression.ts";
import { decompressLent } from "../oci/decompress.ts";
import { StoredBytes, type StoredLayer } from "./_stored-bytes.ts";
import { TarHasherHere, type TarHasher } from "./tar-hasher.ts";

/** A layer to open; source/ gives it as LayerStream. */
export interface LayerInput {
  readonly descriptor: StoredLayer;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** A layer of fewer stored bytes is done before a thread has started. */
const SMALL_LAYER_BYTES = 4 * MIB;

/** Whether a layer is too small for a thread to help with it. */
export function isSmallLayer({ stored }: LayerInput["descriptor"]): boolean {
  return stored !== undefined && stored.sizeBytes < SMALL_LAYER_BYTES;
}

/** What limits a layer, and who helps with it. */
export interface OpenLayerOptions {
  /** Of the uncompressed tar. */
  readonly layerBytesMax: number;
  /** Gives what hashes the tar for its diff ID elsewhere; `undefined` where that is not worthwhile. */
  hashTar?(layer: LayerInput["descriptor"]): TarHasher | undefined;
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
  let hasher: TarHasher | undefined;
  const onCompression = (compression: Compression): void => {
    // Bytes that are not compressed are hashed once where both digests are one: as stored.
    if (compression === "none" && descriptor.stored?.digest === descriptor.diffId) return;
    hasher = options.hashTar?.(descriptor) ?? new TarHasherHere(digestAlgorithm(descriptor.diffId));
  };
  const tap = (piece: Uint8Array): Promise<void> | undefined => hasher?.update(piece);
  let sizeBytes = 0;
  try {
    for await (const piece of decompressLent(stored.pieces(), descriptor.label, { onCompression, tap })) {
      sizeBytes += piece.length;
      if (sizeBytes > options.layerBytesMax) throw tooLarge(descriptor.label, options.layerBytesMax);
      yield piece;
    }
    await stored.drain();
    if (hasher !== undefined) await checkDiffId(hasher, descriptor);
  } catch (error) {
    // Damaged on the way, or made so? Only the digest of all stored bytes tells: a mismatch is the better answer.
    if (isLambdaImgError(error, "LAYER_INVALID", "COMPRESSION_UNSUPPORTED")) await stored.drain();
    throw error;
  } finally {
    hasher?.close();
    await stored.close();
  }
}

async function checkDiffId(hasher: TarHasher, { diffId, label }: StoredLayer): Promise<void> {
  const found = await hasher.finish();
  if (found === diffId) return;
  throw new LambdaImgError(
    "DIFF_ID_MISMATCH",
    `${label}: diff ID mismatch: the uncompressed layer's digest should be ${diffId}, found ${found}`,
    { details: { expected: diffId, found } },
  );
}

function tooLarge(label: string, layerBytesMax: number): LambdaImgError {
  return new LambdaImgError(
    "LAYER_TOO_LARGE",
    `${label}: layer too large: more than the limit of ${showBytes(layerBytesMax)} uncompressed; raise it with --max-layer-size`,
    { details: { limitBytes: layerBytesMax } },
  );
}
