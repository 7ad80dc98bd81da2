/** Entries packed, and as plain objects. */
import { EntryPacker, type PackedEntries } from "../../src/segment/packed-entries.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { makeSegment, type MadeSegment } from "../support/layer-tree.ts";

/** The segment of a layer's tar, its entries unpacked. */
export function makeUnpacked(
  ...recipe: Parameters<typeof makeSegment>
): Pick<MadeSegment, "chunkCount" | "chunks"> & { readonly entries: readonly LayerEntry[] } {
  const { entries, ...segment } = makeSegment(...recipe);
  return { ...segment, entries: [...entries] };
}

/** The entries, packed. */
export function pack(entries: readonly LayerEntry[]): PackedEntries {
  const packer = new EntryPacker();
  for (const entry of entries) packer.add(entry);
  return packer.finish();
}

/** The entry with its body as a plain object: how runs are held is not the record's. */
export function plainOf({ body, ...entry }: LayerEntry): LayerEntry {
  return {
    ...entry,
    body: body && { sizeBytes: body.sizeBytes, runs: body.runs.map((run) => ({ ...run })) },
  };
}
