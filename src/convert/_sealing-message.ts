/** What the sealing threads and their pool say to each other. */
import type { PlainError } from "../base/error.ts";
import type { ChunkWriterPlace } from "../store/chunk-writer.ts";
import type { StoredChunk } from "./chunk-sealer.ts";

/** Given to a thread when it starts. */
export interface SealingStart {
  readonly salt: Uint8Array;
  readonly place: ChunkWriterPlace;
}

/** A chunk to seal; its memory moves to the thread, and back with the answer. */
export interface SealingRequest {
  readonly plain: Uint8Array;
}

/** The answer to the oldest request that has none. */
export type SealingReply =
  ({ readonly kind: "stored" } & StoredChunk) | ({ readonly kind: "failed" } & PlainError);
