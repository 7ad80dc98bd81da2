/** The layers of an image for the second path: entry by entry, each file's content as a digest. */
import { LambdaImgError } from "../base/error.ts";
import { openLayer } from "../layer/open-layer.ts";
import type { OciImage } from "../source/oci-image.ts";
import { TarParser } from "../tar/parser.ts";
import { LayerRecords, type LayerRecord } from "./layer-records.ts";

/** What goes with the reading. */
export interface ReadLayersOptions {
  /** Of one layer's uncompressed tar. */
  readonly layerBytesMax: number;
  readonly signal?: AbortSignal | undefined;
  onBytes?(sizeBytes: number): void;
}

/**
 * All layers, base first, each verified against its digests. Equal layers are read once.
 * @throws what source/, openLayer and TarParser throw; CANCELLED
 */
export async function readLayers(
  image: OciImage,
  options: ReadLayersOptions,
): Promise<(readonly LayerRecord[])[]> {
  const byDiffId = new Map<string, readonly LayerRecord[]>();
  for await (const stream of image.streamLayers({ signal: options.signal })) {
    const { label, diffId } = stream.descriptor;
    const reader = new LayerRecords();
    const parser = new TarParser(reader, { label });
    for await (const piece of openLayer(stream, { layerBytesMax: options.layerBytesMax })) {
      parser.push(piece);
      options.onBytes?.(piece.length);
      if (options.signal?.aborted === true) throw new LambdaImgError("CANCELLED", "cancelled");
    }
    parser.finish();
    byDiffId.set(diffId, reader.records);
  }
  return image.layers.map(({ diffId }) => byDiffId.get(diffId) ?? []);
}
