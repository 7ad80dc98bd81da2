/** The contract of a store: what has everything that was converted, by name. docs/format/store.md. */
import type { LambdaImgError } from "../base/error.ts";
import type { ChunkName } from "../chunk/chunk.ts";
import type { SaltParameters } from "../chunk/salt-parameters.ts";
import type { CustomerId } from "../manifest/customer-id.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import type { RecordName } from "../manifest/record-name.ts";

/** A root: its place in its life (only an active root is written to), and what the salt of its chunks is made of. */
export interface RootState {
  readonly rootId: string;
  readonly state: "active" | "retired" | "expired" | "deleted";
  readonly saltParameters: SaltParameters;
}

/** What a put found: `present` was there before, and nothing was written. */
export type PutOutcome = "stored" | "present";

/** An image's name and the manifest it stands for. */
export interface ImageRef {
  readonly imageName: string;
  readonly manifestId: ManifestId;
}

/** A ref that is there and cannot be read. */
export interface UnreadableRef {
  /** The image's name; the name of the ref's file where the image's is lost. */
  readonly imageName: string;
  /** It has the name in its message and its details. */
  readonly error: LambdaImgError;
}

/** What a listing has for a name. */
export type ListedRef = ImageRef | UnreadableRef;

/** What a record is about: a layer's segment, an image that was converted, or what a start of an image reads. */
export type RecordKind = "segments" | "conversions" | "traces";

/** A record's place. */
export interface RecordPlace {
  readonly kind: RecordKind;
  readonly customerId: CustomerId;
  readonly name: RecordName;
}

/** The part that a device needs. */
export interface ChunkReader {
  /** True where getChunk compares the SHA-256 of every chunk with its name, so that nobody has to do it again. */
  readonly isVerifying?: boolean;

  /**
   * The sealed chunk, exactly CHUNK_BYTES long, in fresh memory. Unless `isVerifying` is true, its SHA-256 is NOT
   * compared with the name: whoever opens it does that.
   * @throws CHUNK_NOT_FOUND; CHUNK_CORRUPT where it has another size; STORE_FORBIDDEN, STORE_UNAVAILABLE
   */
  getChunk(name: ChunkName): Promise<Uint8Array>;
}

/**
 * Chunks and manifests never change; refs do. A put means "it is there", not "I wrote it", so every put may be
 * repeated and may race with others. Order of writes: chunks, barrier, manifest, ref; then a crash at any point
 * leaves nothing that refers to what is not there.
 *
 * Any call may throw STORE_FORBIDDEN, STORE_UNAVAILABLE or, where the store itself is gone, STORE_NOT_FOUND; puts
 * also STORE_FULL. Bytes that are given are not kept after the call; bytes that are returned are the caller's.
 */
export interface Store extends ChunkReader {
  /** The root that puts go to; the same for the life of this object. */
  activeRoot(): RootState;

  /**
   * Stores a sealed chunk of CHUNK_BYTES under its name if absent. The caller vouches for the name. A chunk with
   * that name but another size (torn by a crash) is replaced. Durable after the next barrier.
   */
  putChunk(name: ChunkName, sealed: Uint8Array): Promise<PutOutcome>;

  /** True where a chunk of that name and the right size is there. */
  hasChunk(name: ChunkName): Promise<boolean>;

  /** Those of the names under which no chunk of the right size is there. */
  missingChunks(names: Iterable<ChunkName>): Promise<ReadonlySet<ChunkName>>;

  /**
   * Says that a barrier is near: what was put so far is made durable in the background, so that the barrier has less to do.
   * Never fails; what goes wrong is thrown by the barrier.
   */
  hasten(): void;

  /**
   * Makes durable every chunk that was put through this object, or found present by such a put, and `chunks`:
   * those that ChunkWriters of this object's place put or found, which others see from now on.
   */
  barrier(chunks?: Iterable<ChunkName>): Promise<void>;

  /**
   * Stores a manifest if absent; it is durable when this resolves. Every chunk it names was put and a barrier
   * passed since.
   * @throws MANIFEST_INVALID, MANIFEST_VERSION_UNSUPPORTED where its clear part is not that of a manifest
   */
  putManifest(customerId: CustomerId, bytes: Uint8Array): Promise<ManifestId>;

  /**
   * The manifest's bytes, compared with its id.
   * @throws MANIFEST_NOT_FOUND; DIGEST_MISMATCH where they are not what the id says
   */
  getManifest(customerId: CustomerId, manifestId: ManifestId): Promise<Uint8Array>;

  /** The ids of a customer's manifests, in byte order. */
  listManifests(customerId: CustomerId): Promise<readonly ManifestId[]>;

  /**
   * Keeps a record, in place of one of that name. Every chunk it names was put and a barrier passed since. Not durable:
   * after a crash it may be there, not be there, or be damaged.
   */
  putRecord(place: RecordPlace, bytes: Uint8Array): Promise<void>;

  /** The record's bytes as they are found: whoever opens it finds damage. `undefined` where there is none. */
  getRecord(place: RecordPlace): Promise<Uint8Array | undefined>;

  /**
   * Makes an image name stand for a manifest; replaces what it stood for, at once and durably.
   * @throws REFERENCE_INVALID for a name that is empty, too long or not printable; MANIFEST_NOT_FOUND
   */
  putRef(customerId: CustomerId, imageName: string, manifestId: ManifestId): Promise<void>;

  /**
   * The manifest that an image name stands for.
   * @throws REFERENCE_INVALID; IMAGE_NOT_FOUND; STORE_INVALID where the ref is damaged
   */
  getRef(customerId: CustomerId, imageName: string): Promise<ManifestId>;

  /** A customer's refs in byte order of the image name. One that cannot be read is no failure of the others. */
  listRefs(customerId: CustomerId): Promise<readonly ListedRef[]>;

  /** Removes a ref; true where it was there. The manifest stays. */
  removeRef(customerId: CustomerId, imageName: string): Promise<boolean>;

  /** Ends the use of this object; it can be called again. Nothing that was put is lost. */
  close(): Promise<void>;
}
