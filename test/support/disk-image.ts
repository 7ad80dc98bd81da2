// ⚡ uses: file system
/**
 * Builds disk images straight from layer tars, as a conversion does but with no store and no keys: every chunk is at
 * hand. The order of the steps is that of src/convert/convert-image.ts.
 */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

import type { BlockSource } from "../../src/base/block-source.ts";
import { isAllZero } from "../../src/base/bytes.ts";
import type { Digest } from "../../src/base/digest.ts";
import { CHUNK_BYTES, plainDigestOf } from "../../src/chunk/chunk.ts";
import { DiskDigestBuilder } from "../../src/chunk/disk-digest.ts";
import { hiddenRanges, visibleBodies } from "../../src/convert/hide.ts";
import { BLOCK_BYTES } from "../../src/ext4/constants.ts";
import { writeMetadata } from "../../src/ext4/disk-writer.ts";
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import { planDisk, type DiskPlan } from "../../src/ext4/plan.ts";
import { CHUNK_BLOCKS } from "../../src/ext4/profile.ts";
import { SegmentBuilder, type Segment } from "../../src/segment/segment-builder.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { Tree } from "../../src/tree/tree.ts";
import { sinkOf } from "./layer-tree.ts";

/** A layer's tar, whole or in pieces. */
export type LayerTar = Uint8Array | Iterable<Uint8Array>;

/** What can be chosen. */
export interface DiskImageOptions {
  /** Default: `auto`. */
  readonly sizeRequest?: SizeRequest;
}

/** A disk image in memory. */
export interface DiskImage {
  readonly tree: Tree;
  readonly plan: DiskPlan;
  readonly sizeBytes: number;
  /** By chunk index; those that are absent are zero. */
  readonly chunks: ReadonlyMap<number, Uint8Array>;
}

/**
 * Converts layers, base first, to a disk image.
 * @throws what the parts throw; an Error where two of them write to one chunk
 */
export function buildDiskImage(layers: readonly LayerTar[], options: DiskImageOptions = {}): DiskImage {
  const cut = layers.map(cutLayer);
  const flattener = new Flattener();
  for (const { segment } of cut) flattener.applyLayer(segment.entries);
  const tree = flattener.finish();
  const plan = planDisk({
    tree,
    segmentChunkCounts: cut.map(({ segment }) => segment.chunkCount),
    sizeRequest: options.sizeRequest ?? { kind: "auto" },
  });
  const chunks = new Map<number, Uint8Array>();
  const put = (chunkIndex: number, bytes: Uint8Array): void => {
    if (isAllZero(bytes)) return;
    if (chunks.has(chunkIndex)) throw new Error(`chunk ${chunkIndex} is written twice`);
    chunks.set(chunkIndex, bytes);
  };
  const visible = visibleBodies(tree, layers.length);
  for (const [layerIndex, { segment, plain }] of cut.entries()) {
    for (const [ordinal, ranges] of hiddenRanges(segment.entries, visible[layerIndex] ?? new Set())) {
      for (const { start, end } of ranges) plain.get(ordinal)?.fill(0, start, end);
    }
    const firstChunk = (plan.segmentStarts[layerIndex] ?? 0) / CHUNK_BLOCKS;
    for (const [ordinal, bytes] of plain) put(firstChunk + ordinal, bytes);
  }
  const newChunk = (): Uint8Array => new Uint8Array(CHUNK_BYTES);
  for (const { chunkIndex, bytes } of writeMetadata(plan, newChunk)) put(chunkIndex, bytes);
  return { tree, plan, sizeBytes: plan.geometry.blockCount * BLOCK_BYTES, chunks };
}

/** Writes the disk image to a new sparse file. */
export function writeDiskImage({ sizeBytes, chunks }: DiskImage, file: string): void {
  const fd = openSync(file, "wx");
  try {
    ftruncateSync(fd, sizeBytes);
    for (const [chunkIndex, bytes] of chunks) writeSync(fd, bytes, 0, bytes.length, chunkIndex * CHUNK_BYTES);
  } finally {
    closeSync(fd);
  }
}

/** What names the disk image's bytes (docs/format/chunk.md, "Disk digest"). */
export function diskDigestOf({ sizeBytes, chunks }: DiskImage): Digest {
  const builder = new DiskDigestBuilder();
  let next = 0;
  for (const chunkIndex of [...chunks.keys()].sort((left, right) => left - right)) {
    builder.addZero(chunkIndex - next);
    builder.add(plainDigestOf(chunks.get(chunkIndex) ?? new Uint8Array(CHUNK_BYTES)));
    next = chunkIndex + 1;
  }
  builder.addZero(sizeBytes / CHUNK_BYTES - next);
  return builder.finish();
}

/** The disk image for a reader. */
export function sourceOf({ sizeBytes, chunks }: DiskImage): BlockSource {
  const zeros = new Uint8Array(CHUNK_BYTES);
  return {
    sizeBytes,
    read: (offsetBytes, count) => {
      const found = new Uint8Array(count);
      for (let at = 0; at < count;) {
        const within = (offsetBytes + at) % CHUNK_BYTES;
        const chunk = chunks.get(Math.floor((offsetBytes + at) / CHUNK_BYTES)) ?? zeros;
        const piece = chunk.subarray(within, Math.min(CHUNK_BYTES, within + count - at));
        found.set(piece, at);
        at += piece.length;
      }
      return Promise.resolve(found);
    },
  };
}

interface CutLayer {
  readonly segment: Segment;
  /** By chunk ordinal in the segment; zero chunks are absent. */
  readonly plain: ReadonlyMap<number, Uint8Array>;
}

function cutLayer(tar: LayerTar): CutLayer {
  const plain = new Map<number, Uint8Array>();
  const builder = new SegmentBuilder(
    sinkOf((ordinal, bytes) => {
      if (!isAllZero(bytes)) plain.set(ordinal, bytes);
    }),
  );
  const parser = new TarParser(builder, { label: "layer" });
  for (const piece of tar instanceof Uint8Array ? [tar] : tar) parser.push(piece);
  parser.finish();
  return { segment: builder.finish(), plain };
}
