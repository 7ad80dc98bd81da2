/** Entries as a layer gives them, of a list. */
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { OutlineBuilder, type LayerEntries } from "../../src/tree/layer-outline.ts";

/** The entries with their outline. */
export function outlined(entries: readonly LayerEntry[]): LayerEntries {
  const outline = new OutlineBuilder();
  for (const entry of entries) outline.add(entry);
  return Object.assign([...entries], { outline: outline.finish() });
}
