/** The contract of a source: an image that can be read, wherever it lies. */
import type { DiffId, Digest } from "../base/digest.ts";
import type { ImageConfig } from "../oci/image-config.ts";

/** A layer as the image manifest names it. */
export interface LayerDescriptor {
  /** 0 is the base. */
  readonly layerIndex: number;
  readonly diffId: DiffId;
  /**
   * Digest and size of the bytes as stored (compressed), to be verified while reading; `undefined` where the
   * source has none (docker-archive names its layers by path; the diff ID is their only digest).
   */
  readonly stored: { readonly digest: Digest; readonly sizeBytes: number } | undefined;
  /** For messages: `layer 3 (sha256:0123456789ab…)`. */
  readonly label: string;
}

/** One distinct layer's bytes as stored. Who is given it reads it to its end or returns it. */
export interface LayerStream {
  /** The lowest index among the descriptors with this content; equal layers are given once. */
  readonly descriptor: LayerDescriptor;
  /** Lent: a piece is good until the next one is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Which layers to stream, and until when. */
export interface StreamLayersOptions {
  /** Layers that nobody needs to read. */
  readonly known?: ReadonlySet<DiffId>;
  readonly signal?: AbortSignal | undefined;
}

/** An image of one platform. Close it once, whatever happened. */
export interface OciImage {
  /** The digest of the image manifest; for docker-archive, which has none, that of the config (its image ID). */
  readonly sourceDigest: Digest;
  readonly config: ImageConfig;
  /** Base first, one for each diff ID of the config. Equal layers appear as often as the image has them. */
  readonly layers: readonly LayerDescriptor[];
  /** Bytes read so far from outside for documents and layers, as stored. */
  readonly pulledBytes: () => number;
  /** How many streams of `streamLayers` may be open when the next is asked for, that one included. */
  readonly layersAtOnce: number;
  /**
   * The layers' bytes, each distinct diff ID that is not among `known` once, in the order that is cheapest for the source (that of a
   * compressed archive, else base first). The bytes are as stored and not yet verified: layer/ does that.
   * @throws SOURCE_NOT_FOUND, SOURCE_UNAVAILABLE, ARCHIVE_INVALID
   */
  streamLayers(options: StreamLayersOptions): AsyncIterable<LayerStream>;
  close(): Promise<void>;
}
