import { describe, expect, test } from "vitest";

import { asDiffId, parseDigest } from "../../src/base/digest.ts";
import { ChunkIntake } from "../../src/convert/chunk-intake.ts";
import { convertLayer, type ConvertedLayer } from "../../src/convert/convert-layer.ts";
import { InlineSealer } from "../../src/convert/inline-sealer.ts";
import { openChunk, type ChunkKey } from "../../src/crypto/chunk-seal.ts";
import { openLayer } from "../../src/layer/open-layer.ts";
import { EntryBudget } from "../../src/segment/segment-builder.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import type { Store } from "../../src/store/store.ts";
import { makeSegment } from "../support/layer-tree.ts";
import { compress, digestOf } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { MemoryChunks, SALT } from "./_memory.ts";

const TAR = tarBuilder().dir("d").file("d/a", "a".repeat(700_000)).file("b", "b".repeat(5000)).end();

interface Change {
  readonly tar?: Uint8Array;
  readonly diffId?: string;
  readonly layerBytesMax?: number;
  readonly signal?: AbortSignal;
  readonly pieceBytes?: number;
}

async function convert(
  change: Change = {},
): Promise<{ layer: ConvertedLayer; store: MemoryChunks; seen: number; entries: LayerEntry[] }> {
  const store = new MemoryChunks();
  const intake = new ChunkIntake(new InlineSealer(store as Partial<Store> as Store, SALT), new Set());
  const { tar = TAR, layerBytesMax = 2 ** 30, signal, pieceBytes = 100_000 } = change;
  const bytes = compress(tar, "gzip");
  const stored = { digest: parseDigest(digestOf(bytes), "test"), sizeBytes: bytes.length };
  const diffId = asDiffId(parseDigest(change.diffId ?? digestOf(tar), "test"));
  async function* pieces(): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
  }
  let seen = 0;
  const entries: LayerEntry[] = [];
  const descriptor = { layerIndex: 0, diffId, stored, label: "layer 1" };
  const layer = await convertLayer({ descriptor, bytes: pieces() }, intake, {
    openLayer,
    layerBytesMax,
    entryBudget: new EntryBudget(),
    signal,
    onEntry: (entry) => entries.push(entry),
    onBytes: (sizeBytes) => {
      seen += sizeBytes;
    },
  });
  return { layer, store, seen, entries };
}

describe("convertLayer", () => {
  test.each([1, 1000, 1e6])(
    "gives the segment of the tar, its chunks in the store (pieces of %i)",
    async (pieceBytes) => {
      const { layer, store, seen, entries } = await convert({ pieceBytes });
      const { chunks, ...segment } = makeSegment(TAR);
      expect(layer.segment).toEqual(segment);
      expect(layer.ledger.length).toBe(chunks.length);
      for (const [ordinal, plain] of chunks.entries()) {
        const { name, key } = layer.ledger.get(ordinal)!;
        expect(Buffer.compare(openChunk(await store.getChunk(name), key as ChunkKey), plain)).toBe(0);
      }
      expect(seen).toBe(TAR.length);
      expect(entries).toEqual([...segment.entries]);
    },
  );

  test("refuses what is not the layer that the image names", async () => {
    const other = convert({ diffId: digestOf(Uint8Array.of(1)) });
    await expect(other).rejects.toMatchObject({ code: "DIFF_ID_MISMATCH" });
  });

  test("refuses what is no tar, naming the layer", async () => {
    const bad = convert({ tar: TAR.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) });
    await expect(bad).rejects.toMatchObject({
      code: "TAR_INVALID",
      message: expect.stringContaining("layer 1") as string,
    });
    await expect(convert({ tar: TAR.subarray(0, 2000) })).rejects.toMatchObject({ code: "TAR_INVALID" });
  });

  test("takes a layer of the largest size, and refuses one byte more", async () => {
    await convert({ layerBytesMax: TAR.length });
    await expect(convert({ layerBytesMax: TAR.length - 1 })).rejects.toMatchObject({
      code: "LAYER_TOO_LARGE",
    });
  });

  test("stops where it is cancelled", async () => {
    await expect(convert({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "CANCELLED" });
  });
});
