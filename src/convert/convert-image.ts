/** The conversion: an image from a source becomes chunks, a manifest and a name in a store. */
import type { Digest } from "../base/digest.ts";
import { assert, definite, LambdaImgError } from "../base/error.ts";
import { forEachLimited } from "../base/pool.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import { DiskDigestBuilder } from "../chunk/disk-digest.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { sealManifest } from "../crypto/manifest-seal.ts";
import { writeMetadata } from "../ext4/disk-writer.ts";
import type { SizeRequest } from "../ext4/geometry.ts";
import { planDisk, type DiskPlan } from "../ext4/plan.ts";
import { CHUNK_BLOCKS, LAYOUT_VERSION } from "../ext4/profile.ts";
import { ManifestBuilder, tableChunkNames, type ManifestContent } from "../manifest/manifest.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import { EntryBudget } from "../segment/segment-builder.ts";
import type { OciImage } from "../source/oci-image.ts";
import type { Store } from "../store/store.ts";
import { Flattener } from "../tree/flatten.ts";
import { applyMtimePolicy, showMtimePolicy, type MtimePolicy } from "../tree/mtime-policy.ts";
import { ChunkIntake } from "./chunk-intake.ts";
import { ChunkLedger, type ChunkSealer } from "./chunk-sealer.ts";
import { convertLayer, type ConvertedLayer } from "./convert-layer.ts";
import { hiddenRanges, hideRanges, visibleBodies } from "./hide.ts";

/** What a conversion works with; nothing of it is closed here. */
export interface Conversion {
  readonly image: OciImage;
  readonly store: Store;
  readonly sealer: ChunkSealer;
  readonly keyring: Keyring;
  readonly imageName: string;
  readonly sizeRequest: SizeRequest;
  readonly mtimePolicy: MtimePolicy;
  readonly layerBytesMax: number;
  readonly signal?: AbortSignal | undefined;
  /** Told what is being done; for people. */
  onProgress?(progress: Progress): void;
}

/** Where a conversion is. */
export interface Progress {
  readonly stage: "layer" | "flatten" | "hide" | "metadata" | "durable" | "manifest";
  /** During `layer`: what it is called, and the uncompressed bytes of all layers so far. */
  readonly label?: string;
  readonly tarBytes?: number;
  readonly pulledBytes?: number;
}

/** What came of it. */
export interface ConversionResult {
  readonly manifestId: ManifestId;
  readonly diskDigest: Digest;
  readonly diskChunkCount: number;
  readonly chunks: {
    readonly zero: number;
    /** Distinct chunk names in the manifest. */
    readonly unique: number;
    /** Those of them that this run stored. */
    readonly new: number;
    /** Those of them that were there. */
    readonly reused: number;
  };
  readonly storedBytes: number;
  readonly layerBytes: number;
  /** Inodes whose mtime ext4 cannot hold and that have the nearest one instead. */
  readonly clampedTimeCount: number;
}

/**
 * Converts. The order of writes is that of docs/format/store.md: chunks, one barrier, manifest, name. Staged chunks
 * become the store's at the barrier, so what fails before leaves the store as it was.
 * @throws what the parts throw; CANCELLED
 */
export async function convertImage(conversion: Conversion): Promise<ConversionResult> {
  const { image, store, keyring } = conversion;
  const stored = new Set<ChunkName>();
  const intake = new ChunkIntake(conversion.sealer, stored);
  const before = image.pulledBytes();
  const layers = await convertLayers(conversion, intake);
  const layerBytes = image.pulledBytes() - before;
  conversion.onProgress?.({ stage: "flatten" });
  const tree = flatten(layers);
  applyMtimePolicy(tree, conversion.mtimePolicy);
  const plan = planDisk({
    tree,
    segmentChunkCounts: layers.map((layer) => layer.segment.chunkCount),
    sizeRequest: conversion.sizeRequest,
  });
  conversion.onProgress?.({ stage: "hide" });
  const visible = visibleBodies(tree, layers.length);
  const disk = new ChunkLedger();
  for (const [layerIndex, layer] of layers.entries()) {
    throwIfCancelled(conversion);
    const ledger = layer.ledger.copy();
    const bodies = definite(visible[layerIndex], "every layer has its set");
    await hideRanges(hiddenRanges(layer.segment.entries, bodies), ledger, { store, intake });
    await intake.finish();
    copyLedger(
      ledger,
      disk,
      definite(plan.segmentStarts[layerIndex], "every layer has a segment") / CHUNK_BLOCKS,
    );
  }
  conversion.onProgress?.({ stage: "metadata" });
  for (const { chunkIndex, bytes } of writeMetadata(plan)) {
    throwIfCancelled(conversion);
    await intake.relieve();
    intake.add(disk, chunkIndex, bytes);
  }
  await intake.finish();
  const segmentChunkCounts = layers.map((layer) => layer.segment.chunkCount);
  const content = manifestContent(conversion, { plan, segmentChunkCounts }, disk);
  conversion.onProgress?.({ stage: "durable" });
  // Only what the manifest names: chunks as they were before hidden files were zeroed stay staged, and go with it.
  await store.barrier(tableChunkNames(content));
  // From here on little is left to do: the image gets its manifest and its name.
  throwIfCancelled(conversion);
  conversion.onProgress?.({ stage: "manifest" });
  const manifestId = await store.putManifest(
    keyring.customerId,
    sealManifest(content, keyring.customerKey()),
  );
  await store.putRef(keyring.customerId, conversion.imageName, manifestId);
  return {
    manifestId,
    layerBytes,
    ...countChunks(content, stored),
    clampedTimeCount: plan.clampedTimeCount,
  };
}

/** The form in which a manifest keeps what size was asked for. */
export function showSizeRequest(request: SizeRequest): string {
  return request.kind === "auto" ? "auto" : `${request.kind === "free" ? "+" : ""}${request.sizeBytes}`;
}

function throwIfCancelled({ signal }: Conversion): void {
  if (signal?.aborted === true) throw new LambdaImgError("CANCELLED", "cancelled");
}

/** All layers by index; equal layers are converted once and stand in each of their places. */
async function convertLayers(conversion: Conversion, intake: ChunkIntake): Promise<ConvertedLayer[]> {
  const { image } = conversion;
  const byDiffId = new Map<string, ConvertedLayer>();
  const entryBudget = new EntryBudget();
  let tarBytes = 0;
  // One layer's failure ends the others: nobody waits for gigabytes that come to nothing.
  const stop = new AbortController();
  const signals = conversion.signal === undefined ? [] : [conversion.signal];
  const signal = AbortSignal.any([stop.signal, ...signals]);
  await forEachLimited(image.streamLayers({ signal }), image.layersAtOnce, async (stream) => {
    const { label, diffId } = stream.descriptor;
    try {
      const layer = await convertLayer(stream, intake, {
        layerBytesMax: conversion.layerBytesMax,
        entryBudget,
        signal,
        onBytes: (sizeBytes) => {
          tarBytes += sizeBytes;
          conversion.onProgress?.({ stage: "layer", label, tarBytes, pulledBytes: image.pulledBytes() });
        },
      });
      byDiffId.set(diffId, layer);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  return image.layers.map(({ diffId }) => definite(byDiffId.get(diffId), "the source gave every layer"));
}

function flatten(layers: readonly ConvertedLayer[]): ReturnType<Flattener["finish"]> {
  const flattener = new Flattener();
  for (const { segment } of layers) flattener.applyLayer(segment.entries);
  return flattener.finish();
}

function copyLedger(from: ChunkLedger, to: ChunkLedger, firstChunk: number): void {
  for (let ordinal = 0; ordinal < from.length; ordinal++) {
    const chunk = from.get(ordinal);
    if (chunk !== undefined) to.set(firstChunk + ordinal, chunk);
  }
}

function manifestContent(
  conversion: Conversion,
  layout: { readonly plan: DiskPlan; readonly segmentChunkCounts: readonly number[] },
  disk: ChunkLedger,
): ManifestContent {
  const { plan, segmentChunkCounts } = layout;
  const { image } = conversion;
  const diskChunkCount = plan.geometry.blockCount / CHUNK_BLOCKS;
  assert(disk.length <= diskChunkCount, "every chunk lies on the disk");
  const builder = new ManifestBuilder(diskChunkCount);
  const digest = new DiskDigestBuilder();
  for (let chunkIndex = 0; chunkIndex < diskChunkCount; chunkIndex++) {
    const chunk = disk.get(chunkIndex);
    if (chunk === undefined) {
      digest.addZero(1);
    } else {
      digest.add(chunk.plainDigest);
      builder.set(chunkIndex, chunk);
    }
  }
  const { platform, run, diffIds } = image.config;
  return builder.finish({
    diskDigest: digest.finish(),
    layoutVersion: LAYOUT_VERSION,
    layerDiffIds: diffIds,
    platform,
    run,
    segments: plan.segmentStarts.map((firstBlock, layerIndex) => ({
      firstChunk: firstBlock / CHUNK_BLOCKS,
      chunkCount: definite(segmentChunkCounts[layerIndex], "every layer has a segment"),
    })),
    sourceDigest: image.sourceDigest,
    options: {
      mtime: showMtimePolicy(conversion.mtimePolicy),
      sizeRequest: showSizeRequest(conversion.sizeRequest),
    },
  });
}

function countChunks(
  content: ManifestContent,
  stored: ReadonlySet<ChunkName>,
): Pick<ConversionResult, "diskDigest" | "diskChunkCount" | "chunks" | "storedBytes"> {
  const unique = new Set(tableChunkNames(content));
  let newCount = 0;
  for (const name of unique) if (stored.has(name)) newCount++;
  return {
    diskDigest: content.image.diskDigest,
    diskChunkCount: content.diskChunkCount,
    chunks: {
      zero: content.diskChunkCount - content.indexes.length,
      unique: unique.size,
      new: newCount,
      reused: unique.size - newCount,
    },
    storedBytes: newCount * CHUNK_BYTES,
  };
}
