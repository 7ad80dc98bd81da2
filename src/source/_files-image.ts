/** An image whose layers are files of a layout or archive. */
import { digestHex, type DiffId, type Digest } from "../base/digest.ts";
import { definite } from "../base/error.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import type { ImageFiles } from "./_image-files.ts";
import type { LayerDescriptor, LayerStream, OciImage, StreamLayersOptions } from "./oci-image.ts";

/** A layer, and the file that has it. */
export interface FileLayer {
  readonly descriptor: LayerDescriptor;
  readonly path: string;
  /** For the message where the file is missing; longer than the descriptor's where there is more to say. */
  readonly label: string;
}

/** What makes an image of files. */
export interface FilesImageParts {
  readonly files: ImageFiles;
  readonly sourceDigest: Digest;
  readonly config: ImageConfig;
  readonly layers: readonly FileLayer[];
}

/** The image; it owns `files`. */
export class FilesImage implements OciImage {
  readonly sourceDigest: Digest;
  readonly config: ImageConfig;
  readonly layers: readonly LayerDescriptor[];
  readonly layersAtOnce: number;
  readonly #parts: FilesImageParts;
  #isClosed = false;

  constructor(parts: FilesImageParts) {
    this.sourceDigest = parts.sourceDigest;
    this.config = parts.config;
    this.layers = parts.layers.map((layer) => layer.descriptor);
    this.layersAtOnce = parts.files.streamsAtOnce;
    this.#parts = parts;
  }

  readonly pulledBytes = (): number => this.#parts.files.pulledBytes();

  async *streamLayers(options: StreamLayersOptions): AsyncGenerator<LayerStream, void, undefined> {
    const first = new Map<DiffId, FileLayer>();
    for (const layer of this.#parts.layers) {
      const { diffId } = layer.descriptor;
      if (!first.has(diffId) && options.known?.has(diffId) !== true) first.set(diffId, layer);
    }
    const requests = [...first.values()];
    if (requests.length === 0) return; // An archive that is compressed would be read to its end.
    for await (const { requestIndex, bytes } of this.#parts.files.stream(requests, options)) {
      const { descriptor } = definite(requests[requestIndex], "a stream for each request");
      yield { descriptor, bytes };
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#parts.files.close();
  }
}

/** `layer 3 (sha256:0123456789ab…)`. */
export function layerLabel(layerIndex: number, digest: Digest): string {
  const algorithm = digest.slice(0, digest.indexOf(":"));
  return `layer ${layerIndex} (${algorithm}:${digestHex(digest).slice(0, 12)}…)`;
}
