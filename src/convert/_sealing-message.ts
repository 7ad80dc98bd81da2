/** What the sealing threads and their pool say to each other. */
import type { Digest } from "../base/digest.ts";
import type { PlainError } from "../base/error.ts";
import type { ChunkWriterPlace } from "../store/chunk-writer.ts";
import type { StoredChunk } from "./chunk-sealer.ts";

/** What a thread seals with. */
export interface SealingStart {
  readonly salt: Uint8Array;
  readonly place: ChunkWriterPlace;
}

/** Said to a thread. Memory that is named moves to the thread, and back with the answer. */
export type SealingRequest =
  /** Once, before any chunk. */
  | ({ readonly kind: "start" } & SealingStart)
  /** A chunk to seal. */
  | { readonly kind: "seal"; readonly plain: Uint8Array }
  | HashingRequest;

/** About a tar, by its number. The first of a tar begins it. */
export type HashingRequest =
  /** Its next bytes. Their memory moves with them, unless threads share it: that stays as it is until the answer. */
  | (TarNamed & { readonly kind: "hash"; readonly bytes: Uint8Array })
  /** It is complete. */
  | (TarNamed & { readonly kind: "digest" })
  /** Nobody wants to know. */
  | { readonly kind: "forget"; readonly tar: number };

/** A tar by its number, and how it is hashed. */
export interface TarNamed {
  readonly tar: number;
  readonly algorithm: "sha256" | "sha512";
}

export type SealingReply =
  /** The answer to the oldest chunk that has none. */
  ({ readonly kind: "stored" } & StoredChunk) | ({ readonly kind: "failed" } & PlainError) | HashingReply;

/** The answer to HashingRequest; "forget" has none. */
export type HashingReply =
  /** For the oldest bytes without an answer; with their memory, all of it, where that has moved. */
  | { readonly kind: "hashed"; readonly room?: Uint8Array }
  | { readonly kind: "digest"; readonly tar: number; readonly digest: Digest };
