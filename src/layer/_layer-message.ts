/** What a layer's thread and its user say to each other. Bytes lie in memory that both see; messages say where. */
import type { PlainError } from "../base/error.ts";
import { KIB } from "../base/units.ts";
import type { StoredLayer } from "./_stored-bytes.ts";

/** Of every slot; bytes are gathered until one is full, so that there are few messages. */
export const SLOT_BYTES: number = 512 * KIB;
/** Slots for stored bytes on their way to the thread: one that is filled, and two that wait. */
export const INPUT_SLOTS = 3;
/** Slots for bytes of the tar: one that is read, one that is filled, and two that wait. */
export const OUTPUT_SLOTS = 4;

/** Given to a thread when it starts: INPUT_SLOTS, then OUTPUT_SLOTS. */
export interface LayerThreadStart {
  readonly memory: SharedArrayBuffer;
}

/** Said to the thread. */
export type ToLayerThread =
  /** A layer to open; the one before has come to its end. */
  | { readonly kind: "open"; readonly layer: StoredLayer; readonly layerBytesMax: number }
  /** Stored bytes; the slot is the thread's until it is `taken`. */
  | { readonly kind: "input"; readonly slot: number; readonly sizeBytes: number }
  | { readonly kind: "input-end" }
  /** The source has failed: what the thread makes of that is not heard. */
  | { readonly kind: "input-failed" }
  /** An output slot is the thread's again. */
  | { readonly kind: "free"; readonly slot: number };

/** Said by the thread. */
export type FromLayerThread =
  | { readonly kind: "taken"; readonly slot: number }
  /** Bytes of the tar; the slot is the user's until it is `free`. */
  | { readonly kind: "output"; readonly slot: number; readonly sizeBytes: number }
  | { readonly kind: "done" }
  | ({ readonly kind: "failed" } & PlainError);

/** The memory of a slot, as a view. */
export function slotOf(memory: SharedArrayBuffer, slot: number): Uint8Array {
  return new Uint8Array(memory, slot * SLOT_BYTES, SLOT_BYTES);
}
