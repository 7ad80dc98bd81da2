/** The conversion: an image from a source becomes chunks, a manifest and a name in a store. */
import { throwIfCancelled } from "../base/cancel.ts";
import type { DiffId, Digest } from "../base/digest.ts";
import { assert, definite } from "../base/error.ts";
import { forEachLimited } from "../base/pool.ts";
import { CHUNK_BYTES, type ChunkName } from "../chunk/chunk.ts";
import { DiskDigestBuilder } from "../chunk/disk-digest.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { sealManifest } from "../crypto/manifest-seal.ts";
import { writeMetadata } from "../ext4/disk-writer.ts";
import type { SizeRequest } from "../ext4/geometry.ts";
import { planDisk, type DiskPlan } from "../ext4/plan.ts";
import { CHUNK_BLOCKS, LAYOUT_VERSION } from "../ext4/profile.ts";
import { openLayer, type OpenLayer } from "../layer/open-layer.ts";
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
import { KnownImages, type ConversionFacts } from "./known-image.ts";
import { LayerReuse } from "./layer-reuse.ts";

/** What a conversion works with; nothing of it is closed here. */
export interface Conversion {
  readonly image: OciImage;
  readonly store: Store;
  readonly sealer: ChunkSealer;
  /** How layers are opened; in this thread if left out. */
  readonly openLayer?: OpenLayer;
  readonly keyring: Keyring;
  readonly imageName: string;
  readonly sizeRequest: SizeRequest;
  readonly mtimePolicy: MtimePolicy;
  readonly layerBytesMax: number;
  /** Whether what earlier conversions kept may be used; what this one gives is kept in any case. */
  readonly mayReuse: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told when no layer will be read any more: the tree and its metadata can have the memory of what has read them. */
  onLayersRead?(): Promise<void>;
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
    /** Chunks that this run stored besides: as layers have them before hidden files are zeroed. */
    readonly kept: number;
  };
  /** Layers that were not read, since they are known. */
  readonly reusedLayerCount: number;
  /** Bytes of the chunks that are new or kept. */
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
  const knownImages = new KnownImages(store, keyring);
  const facts = factsOf(conversion);
  const known = conversion.mayReuse ? await nameKnown(conversion, knownImages, facts) : undefined;
  if (known !== undefined) return known;
  const stored = new Set<ChunkName>();
  const intake = new ChunkIntake(conversion.sealer, stored);
  const before = image.pulledBytes();
  const reuse = new LayerReuse(store, keyring);
  const flattener = new Flattener();
  const { layers, fresh } = await convertLayers(conversion, intake, { reuse, flattener });
  const layerBytes = image.pulledBytes() - before;
  await conversion.onLayersRead?.();
  store.hasten();
  const { content, clampedTimeCount } = await makeDisk(conversion, { layers, flattener, intake, facts });
  conversion.onProgress?.({ stage: "durable" });
  const named = new Set(tableChunkNames(content));
  // Where nothing was hidden, the manifest names every chunk of every layer.
  const kept = flattener.layersWithHidden.size > 0 ? keptChunks(named, fresh) : [];
  await store.barrier([...named, ...kept]);
  // From here on little is left to do: the image gets its manifest and its name.
  throwIfCancelled(conversion.signal);
  conversion.onProgress?.({ stage: "manifest" });
  for (const [diffId, layer] of fresh) await reuse.keep(diffId, layer);
  const manifestId = await store.putManifest(
    keyring.customerId,
    sealManifest(content, keyring.customerKey()),
  );
  await knownImages.keep(facts, { manifestId, clampedTimeCount });
  // Last: who is told of a failure finds the name as it was.
  await store.putRef(keyring.customerId, conversion.imageName, manifestId);
  const keptCount = kept.filter((name) => stored.has(name)).length;
  const reusedLayerCount = image.layers.filter(({ diffId }) => !fresh.has(diffId)).length;
  return {
    manifestId,
    layerBytes,
    reusedLayerCount,
    clampedTimeCount,
    ...countChunks(content, named, { stored, kept: keptCount }),
  };
}

/**
 * All of the disk image that its layers do not give by themselves. Tree and plan, which are large, live no longer than this:
 * the records of the layers come after it.
 */
async function makeDisk(
  conversion: Conversion,
  use: {
    readonly layers: readonly ConvertedLayer[];
    readonly flattener: Flattener;
    readonly intake: ChunkIntake;
    readonly facts: ConversionFacts;
  },
): Promise<{ content: ManifestContent; clampedTimeCount: number }> {
  const { layers, flattener, intake, facts } = use;
  conversion.onProgress?.({ stage: "flatten" });
  for (const { segment } of layers) flattener.applyLayer(segment.entries);
  const tree = flattener.finish();
  applyMtimePolicy(tree, conversion.mtimePolicy);
  const segmentChunkCounts = layers.map((layer) => layer.segment.chunkCount);
  const plan = planDisk({ tree, segmentChunkCounts, sizeRequest: conversion.sizeRequest });
  await intake.finish(); // The last chunks of the layers were sealed meanwhile.
  conversion.onProgress?.({ stage: "hide" });
  const { layersWithHidden } = flattener;
  const visible = layersWithHidden.size > 0 ? visibleBodies(tree, layers.length) : [];
  const disk = new ChunkLedger();
  for (const [layerIndex, layer] of layers.entries()) {
    throwIfCancelled(conversion.signal);
    const ledger = new ChunkLedger();
    ledger.addAll(layer.ledger, 0);
    if (layersWithHidden.has(layerIndex)) {
      const bodies = definite(visible[layerIndex], "every layer has its bodies");
      await hideRanges(hiddenRanges(layer.segment.entries, bodies), ledger, {
        store: conversion.store,
        intake,
      });
      await intake.finish();
    }
    const segmentStart = definite(plan.segmentStarts[layerIndex], "every layer has a segment");
    disk.addAll(ledger, segmentStart / CHUNK_BLOCKS);
  }
  conversion.onProgress?.({ stage: "metadata" });
  for (const { chunkIndex, bytes } of writeMetadata(plan, () => intake.newChunk())) {
    throwIfCancelled(conversion.signal);
    await intake.relieve();
    intake.add(disk, chunkIndex, bytes);
  }
  await intake.finish();
  const { clampedTimeCount } = plan;
  return { content: manifestContent(facts, { plan, segmentChunkCounts }, disk), clampedTimeCount };
}

/** The form in which a manifest keeps what size was asked for. */
export function showSizeRequest(request: SizeRequest): string {
  return request.kind === "auto" ? "auto" : `${request.kind === "free" ? "+" : ""}${request.sizeBytes}`;
}

/** Gives the image its name where the manifest is there already. */
async function nameKnown(
  conversion: Conversion,
  knownImages: KnownImages,
  facts: ConversionFacts,
): Promise<ConversionResult | undefined> {
  const known = await knownImages.find(facts);
  if (known === undefined) return undefined;
  const { manifestId, clampedTimeCount, content } = known;
  throwIfCancelled(conversion.signal);
  await conversion.store.putRef(conversion.keyring.customerId, conversion.imageName, manifestId);
  const reusedLayerCount = conversion.image.layers.length;
  const named = new Set(tableChunkNames(content));
  const counts = countChunks(content, named, { stored: new Set(), kept: 0 });
  return { manifestId, layerBytes: 0, reusedLayerCount, clampedTimeCount, ...counts };
}

/** Layers by index, and those that were read by diff ID. Equal layers are converted once and stand in each of their places. */
async function convertLayers(
  conversion: Conversion,
  intake: ChunkIntake,
  { reuse, flattener }: { readonly reuse: LayerReuse; readonly flattener: Flattener },
): Promise<{ layers: ConvertedLayer[]; fresh: ReadonlyMap<DiffId, ConvertedLayer> }> {
  const { image } = conversion;
  const entryBudget = new EntryBudget();
  const known = conversion.mayReuse
    ? await findLayers(conversion, reuse, entryBudget)
    : new Map<DiffId, ConvertedLayer>();
  const fresh = new Map<DiffId, ConvertedLayer>();
  let tarBytes = 0;
  // One layer's failure ends the others: nobody waits for gigabytes that come to nothing.
  const stop = new AbortController();
  const signals = conversion.signal === undefined ? [] : [conversion.signal];
  const signal = AbortSignal.any([stop.signal, ...signals]);
  const streams = image.streamLayers({ signal, known: new Set(known.keys()) });
  await forEachLimited(streams, image.layersAtOnce, async (stream) => {
    const { label, diffId } = stream.descriptor;
    try {
      const layer = await convertLayer(stream, intake, {
        openLayer: conversion.openLayer ?? openLayer,
        layerBytesMax: conversion.layerBytesMax,
        entryBudget,
        signal,
        // While the layer comes both processors have work; afterwards only this one would.
        onEntry:
          diffId === image.layers[0]?.diffId
            ? (entry) => {
                flattener.putAhead(entry);
              }
            : undefined,
        onBytes: (sizeBytes) => {
          tarBytes += sizeBytes;
          conversion.onProgress?.({ stage: "layer", label, tarBytes, pulledBytes: image.pulledBytes() });
        },
      });
      fresh.set(diffId, layer);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  const layers = image.layers.map(({ diffId }) =>
    definite(known.get(diffId) ?? fresh.get(diffId), "the source gave every layer"),
  );
  return { layers, fresh };
}

/** Runs of a file without holes: whole chunks, what fills the chunk of its group, and the rest, which two chunks of tails can share. */
const CUT_RUNS_MAX = 4;

async function findLayers(
  conversion: Conversion,
  reuse: LayerReuse,
  entryBudget: EntryBudget,
): Promise<Map<DiffId, ConvertedLayer>> {
  const known = new Map<DiffId, ConvertedLayer>();
  for (const diffId of new Set(conversion.image.layers.map((layer) => layer.diffId))) {
    throwIfCancelled(conversion.signal);
    const layer = await reuse.find(diffId);
    if (layer === undefined) continue;
    for (const entry of layer.segment.entries) {
      // Never more than reading the layer takes: a region gives one run, and cutting the file three others at most.
      const regionCount = Math.max(0, (entry.body?.runs.length ?? 0) - CUT_RUNS_MAX);
      entryBudget.take(entry, regionCount);
    }
    known.set(diffId, layer);
  }
  return known;
}

/** Names of the chunks of layers that are not among those of the manifest: those that hidden files were zeroed in. */
function keptChunks(named: ReadonlySet<ChunkName>, fresh: ReadonlyMap<DiffId, ConvertedLayer>): ChunkName[] {
  const kept = new Set<ChunkName>();
  for (const { ledger } of fresh.values())
    for (const name of ledger.names()) if (!named.has(name)) kept.add(name);
  return [...kept];
}

function factsOf({ image, mtimePolicy, sizeRequest }: Conversion): ConversionFacts {
  const { platform, run, diffIds } = image.config;
  return {
    layoutVersion: LAYOUT_VERSION,
    layerDiffIds: diffIds,
    platform,
    run,
    sourceDigest: image.sourceDigest,
    options: { mtime: showMtimePolicy(mtimePolicy), sizeRequest: showSizeRequest(sizeRequest) },
  };
}

function manifestContent(
  facts: ConversionFacts,
  layout: { readonly plan: DiskPlan; readonly segmentChunkCounts: readonly number[] },
  disk: ChunkLedger,
): ManifestContent {
  const { plan, segmentChunkCounts } = layout;
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
  return builder.finish({
    ...facts,
    diskDigest: digest.finish(),
    segments: plan.segmentStarts.map((firstBlock, layerIndex) => ({
      firstChunk: firstBlock / CHUNK_BLOCKS,
      chunkCount: definite(segmentChunkCounts[layerIndex], "every layer has a segment"),
    })),
  });
}

/** `named` are those of the manifest, `stored` those that this run has put there, and `kept` how many of these besides. */
function countChunks(
  content: ManifestContent,
  named: ReadonlySet<ChunkName>,
  { stored, kept }: { readonly stored: ReadonlySet<ChunkName>; readonly kept: number },
): Pick<ConversionResult, "diskDigest" | "diskChunkCount" | "chunks" | "storedBytes"> {
  let newCount = 0;
  for (const name of named) if (stored.has(name)) newCount++;
  return {
    diskDigest: content.image.diskDigest,
    diskChunkCount: content.diskChunkCount,
    chunks: {
      zero: content.diskChunkCount - content.indexes.length,
      unique: named.size,
      new: newCount,
      reused: named.size - newCount,
      kept,
    },
    storedBytes: (newCount + kept) * CHUNK_BYTES,
  };
}
