/** What a layer's thread and its user say to each other. The memory of rooms moves with the message that names it. */
import type { PlainError } from "../base/error.ts";
import { KIB } from "../base/units.ts";
import type { StoredLayer } from "./_stored-bytes.ts";

/** Of every room. */
export const ROOM_BYTES: number = 512 * KIB;
/** Rooms for stored bytes on their way to the thread: one that is filled, and two that wait. */
export const INPUT_ROOMS = 3;
/** Rooms for bytes of the tar: one that is read, one that is filled, and two that wait. */
export const OUTPUT_ROOMS = 4;

/** Said to the thread. */
export type ToLayerThread =
  /** A layer to open; the one before has come to its end. */
  | { readonly kind: "open"; readonly layer: StoredLayer; readonly layerBytesMax: number }
  /** Stored bytes; the room is the thread's until it is `taken`. */
  | { readonly kind: "input"; readonly room: Uint8Array; readonly sizeBytes: number }
  | { readonly kind: "input-end" }
  /** The source has failed: what the thread makes of that is not heard. */
  | { readonly kind: "input-failed" }
  /** An output room is the thread's again. */
  | { readonly kind: "free"; readonly room: Uint8Array };

/** Said by the thread. */
export type FromLayerThread =
  | { readonly kind: "taken"; readonly room: Uint8Array }
  /** Bytes of the tar; the room is the user's until it is `free`. */
  | { readonly kind: "output"; readonly room: Uint8Array; readonly sizeBytes: number }
  | { readonly kind: "done" }
  | ({ readonly kind: "failed" } & PlainError);

/** The memory that moves with a message. */
export function movedWith(message: ToLayerThread | FromLayerThread): readonly ArrayBuffer[] {
  return "room" in message ? [message.room.buffer as ArrayBuffer] : [];
}
