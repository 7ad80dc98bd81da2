/** Images in registries. */
import type { DiffId, Digest } from "../base/digest.ts";
import { definite } from "../base/error.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ImageConfig } from "../oci/image-config.ts";
import { parseImageDocument } from "../oci/image-document.ts";
import { documentKindOf, isForeignLayer, OCI_INDEX_MEDIA_TYPE } from "../oci/media-type.ts";
import type { RegistryReference } from "../registry/reference.ts";
import { RegistryClient, type PulledManifest, type RegistryOptions } from "../registry/registry-client.ts";
import { chooseImage, type ChosenImage, type PlatformChoice } from "./choose-manifest.ts";
import { layerLabel } from "./_files-image.ts";
import type { LayerDescriptor, LayerStream, OciImage, StreamLayersOptions } from "./oci-image.ts";

/** Which image of several, and how its registry is reached. */
export interface OpenRegistryOptions extends PlatformChoice {
  readonly registry?: RegistryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens an image: manifest and config are pulled and verified, its layers are not yet touched.
 * @throws IMAGE_NOT_FOUND, SOURCE_NOT_FOUND, REGISTRY_*, CREDENTIALS_INVALID, CANCELLED, and what chooseImage() throws
 */
export async function openRegistryImage(
  reference: RegistryReference,
  options: OpenRegistryOptions,
): Promise<OciImage> {
  const { signal } = options;
  const client = new RegistryClient(reference, options.registry ?? {});
  try {
    const root = await client.pullRoot(signal);
    const chosen = await chooseImage([rootDescriptor(root, client.label)], {
      choice: options,
      label: client.label,
      read: async ({ digest, mediaType }, label) => {
        // What the registry was asked for by name came with the answer.
        if (digest === root.digest) return root.bytes;
        const wanted = { digest, label: `${client.label}: ${label}`, signal };
        return isConfig(mediaType) ? client.pullConfig(wanted) : client.pullManifest(wanted);
      },
    });
    return new RegistryImage(client, chosen);
  } catch (error) {
    client.close();
    throw error;
  }
}

const OCI_MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json";

/** A descriptor for what came without one. Where Content-Type says nothing of images the document itself decides. */
function rootDescriptor({ bytes, digest, mediaType = "" }: PulledManifest, label: string): Descriptor {
  const facts = { digest, sizeBytes: bytes.length, platform: undefined, annotations: new Map() };
  const isGeneral = ["", "application/json", "application/octet-stream", "text/plain"].includes(mediaType);
  if (!isGeneral) {
    documentKindOf(mediaType, label);
    return { ...facts, mediaType };
  }
  const { kind } = parseImageDocument(bytes, { where: label });
  return { ...facts, mediaType: kind === "index" ? OCI_INDEX_MEDIA_TYPE : OCI_MANIFEST_MEDIA_TYPE };
}

/** Configs lie with the layers; whatever else a document leads to is asked for as a manifest. */
function isConfig(mediaType: string): boolean {
  return /\.(?:image\.config|container\.image)\.v1\+json$/.test(mediaType);
}

class RegistryImage implements OciImage {
  readonly sourceDigest: Digest;
  readonly config: ImageConfig;
  readonly layers: readonly (LayerDescriptor & { readonly isForeign: boolean })[];
  readonly #client: RegistryClient;

  constructor(client: RegistryClient, chosen: ChosenImage) {
    this.sourceDigest = chosen.digest;
    this.config = chosen.config;
    this.#client = client;
    this.layers = chosen.manifest.layers.map(({ digest, sizeBytes, mediaType }, layerIndex) => ({
      layerIndex,
      label: layerLabel(layerIndex, digest),
      diffId: definite(chosen.config.diffIds[layerIndex], "a diff ID for each layer"),
      stored: { digest, sizeBytes },
      isForeign: isForeignLayer(mediaType),
    }));
  }

  /** As docker has it: one connection is often slower than the way to the registry. */
  readonly layersAtOnce = 3;
  readonly pulledBytes = (): number => this.#client.pulledBytes();

  // eslint-disable-next-line @typescript-eslint/require-await -- the contract is asynchronous, this source is not
  async *streamLayers(options: StreamLayersOptions): AsyncGenerator<LayerStream, void, undefined> {
    const given = new Set<DiffId>(options.known);
    for (const descriptor of this.layers) {
      if (given.has(descriptor.diffId)) continue;
      given.add(descriptor.diffId);
      const { digest, sizeBytes } = descriptor.stored ?? {};
      const bytes = this.#client.streamLayer({
        digest: definite(digest, "registries name layers by digest"),
        sizeBytes: definite(sizeBytes, "and say their size"),
        label: `${this.#client.label}: ${describe(descriptor)}`,
        signal: options.signal,
      });
      yield { descriptor, bytes };
    }
  }

  close(): Promise<void> {
    this.#client.close();
    return Promise.resolve();
  }
}

function describe({ label, isForeign }: { readonly label: string; readonly isForeign: boolean }): string {
  return isForeign ? `${label}, of a type that registries may leave out` : label;
}
