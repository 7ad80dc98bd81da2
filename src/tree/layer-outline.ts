/** What flattening asks of a whole layer before its first entry. Made while the layer is read, so that nobody goes through it twice. */
import type { LayerEntry } from "./layer-entry.ts";
import { SlotAssigner, type AssignedSlots } from "./slots.ts";

/** layer.md, "Whiteouts": a whiteout is an empty file whose name is this prefix and the hidden name. */
export const WHITEOUT_PREFIX = ".wh.";

/** A layer's slots, and whether it may hide anything. */
export interface LayerOutline extends AssignedSlots {
  /** False where no path has the prefix of a whiteout anywhere. */
  readonly hasWhiteouts: boolean;
}

/** The entries of a layer in their order. They may be made anew each time that somebody goes through them. */
export interface LayerEntries extends Iterable<LayerEntry> {
  readonly length: number;
  readonly outline: LayerOutline;
}

/** Makes a layer's outline of its entries. */
export class OutlineBuilder {
  readonly #slots = new SlotAssigner();
  #hasWhiteouts = false;

  /** Takes an entry in, in the order of the layer. */
  add(entry: Pick<LayerEntry, "type" | "path">): void {
    this.#slots.add(entry);
    // Cheap test: splitting every path would cost.
    if (!this.#hasWhiteouts && entry.path.includes(WHITEOUT_PREFIX)) this.#hasWhiteouts = true;
  }

  /** The outline of all entries taken in. Call it once. */
  finish(): LayerOutline {
    return { ...this.#slots.finish(), hasWhiteouts: this.#hasWhiteouts };
  }
}
