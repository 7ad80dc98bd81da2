/** One layer from the source to sealed chunks and entries. */
import { throwIfCancelled } from "../base/cancel.ts";
import type { OpenLayer } from "../layer/open-layer.ts";
import { SegmentBuilder, type EntryBudget, type Segment } from "../segment/segment-builder.ts";
import type { LayerStream } from "../source/oci-image.ts";
import { TarParser } from "../tar/parser.ts";
import type { LayerEntry } from "../tree/layer-entry.ts";
import type { ChunkIntake } from "./chunk-intake.ts";
import { ChunkLedger } from "./chunk-sealer.ts";

/** A layer that was read to its end. */
export interface ConvertedLayer {
  readonly segment: Segment;
  /** By chunk ordinal in the segment: as the layer alone gives them, nothing hidden. Complete when the intake has finished. */
  readonly ledger: ChunkLedger;
}

/** What goes with the conversion of a layer. */
export interface LayerOptions {
  readonly openLayer: OpenLayer;
  readonly layerBytesMax: number;
  /** Shared by the layers of an image. */
  readonly entryBudget: EntryBudget;
  readonly signal: AbortSignal | undefined;
  /** Given the layer's entries as SegmentBuilder gives them. */
  readonly onEntry: ((entry: LayerEntry) => void) | undefined;
  /** Told now and then how many uncompressed bytes have come. */
  onBytes(sizeBytes: number): void;
}

/**
 * Reads, verifies and cuts the layer; its chunks are sealed while it comes.
 * @throws what openLayer, TarParser and the store throw; CANCELLED
 */
export async function convertLayer(
  stream: LayerStream,
  intake: ChunkIntake,
  options: LayerOptions,
): Promise<ConvertedLayer> {
  const ledger = new ChunkLedger();
  const sink = {
    newChunk: () => intake.newChunk(),
    add: (chunkIndex: number, plain: Uint8Array) => {
      intake.add(ledger, chunkIndex, plain);
    },
  };
  const builder = new SegmentBuilder(sink, options.entryBudget, options.onEntry);
  const parser = new TarParser(builder, { label: stream.descriptor.label });
  for await (const piece of options.openLayer(stream, { layerBytesMax: options.layerBytesMax })) {
    for (let at = 0; at < piece.length;) {
      at += parser.pushSome(piece, at);
      if (intake.isCrowded) await intake.relieve();
    }
    options.onBytes(piece.length);
    throwIfCancelled(options.signal);
  }
  parser.finish();
  return { segment: builder.finish(), ledger };
}
