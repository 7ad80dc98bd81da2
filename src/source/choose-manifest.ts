/** From a descriptor to the one image manifest for a platform, through indexes (image-spec image-index.md). */
import { DigestBuilder, digestAlgorithm, type Digest } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";
import { DOCUMENT_BYTES_MAX, INDEX_DEPTH_MAX, INDEX_DESCRIPTORS_MAX } from "../base/limit.ts";
import { isAttestation, type Descriptor } from "../oci/descriptor.ts";
import { checkLayerCount, parseImageConfig, type ImageConfig } from "../oci/image-config.ts";
import { parseImageDocument, type ImageDocument } from "../oci/image-document.ts";
import type { ImageManifest } from "../oci/image-manifest.ts";
import { platformDistance, showPlatform, type Platform } from "../oci/platform.ts";
import { documentTooLarge } from "./_file-error.ts";

/** What the user asked for, and what is taken from an index where nothing was asked for. */
export interface PlatformChoice {
  readonly platform: Platform | undefined;
  readonly defaultPlatform: Platform;
  /** Told of each platform that an entry of an index names. */
  onPlatform?(platform: Platform): void;
}

/** Reads a document by its descriptor; not yet verified. `label` is for messages. */
export type ReadDocument = (descriptor: Descriptor, label: string) => Promise<Uint8Array>;

/** A manifest and its config, verified and consistent with each other. */
export interface ChosenImage {
  readonly digest: Digest;
  readonly manifest: ImageManifest;
  readonly config: ImageConfig;
}

/**
 * Chooses among `roots`: one is taken as it is, several are as the entries of an index.
 * @throws PLATFORM_NOT_FOUND, PLATFORM_UNSUPPORTED, OCI_INVALID, MEDIA_TYPE_UNSUPPORTED, SIZE_MISMATCH, DIGEST_MISMATCH,
 *   DOCUMENT_TOO_LARGE, and what `read` throws
 */
export async function chooseImage(
  roots: readonly Descriptor[],
  options: { readonly choice: PlatformChoice; readonly read: ReadDocument; readonly label: string },
): Promise<ChosenImage> {
  const search = new ManifestSearch(options.choice, options.read);
  const [only, ...others] = roots;
  const found =
    only !== undefined && others.length === 0
      ? await search.follow(only)
      : await search.choose(roots, 0).then((best) => best?.found);
  if (found === undefined) throw search.notFound(options.label);
  const { descriptor, manifest } = found;
  const where = `image config ${manifest.config.digest}`;
  const config = parseImageConfig(await readVerified(manifest.config, where, options.read), where);
  checkLayerCount(config, manifest.layers.length, `image manifest ${descriptor.digest}`);
  checkPlatform(config.platform, options.choice, options.label);
  return { digest: descriptor.digest, manifest, config };
}

/** @throws PLATFORM_NOT_FOUND where the user asked for a platform, and an image's config says that it is for another */
export function checkPlatform(found: Platform, choice: PlatformChoice, label: string): void {
  const { platform } = choice;
  if (platform === undefined || platformDistance(platform, found) !== undefined) return;
  throw platformNotFound(label, platform, [found]);
}

/**
 * Reads a document and verifies size and digest.
 * @throws SIZE_MISMATCH, DIGEST_MISMATCH, DOCUMENT_TOO_LARGE, and what `read` throws
 */
async function readVerified(descriptor: Descriptor, label: string, read: ReadDocument): Promise<Uint8Array> {
  if (descriptor.sizeBytes > DOCUMENT_BYTES_MAX) throw documentTooLarge(label, descriptor.sizeBytes);
  const bytes = await read(descriptor, label);
  if (bytes.length !== descriptor.sizeBytes) {
    throw new LambdaImgError(
      "SIZE_MISMATCH",
      `${label}: size mismatch: expected ${descriptor.sizeBytes} bytes, found ${bytes.length}`,
      { details: { expected: descriptor.sizeBytes, found: bytes.length } },
    );
  }
  checkDigest(bytes, descriptor.digest, label);
  return bytes;
}

/** @throws DIGEST_MISMATCH */
export function checkDigest(bytes: Uint8Array, expected: Digest, label: string): void {
  const builder = new DigestBuilder(digestAlgorithm(expected));
  builder.update(bytes);
  const found = builder.finish();
  if (found === expected) return;
  throw new LambdaImgError(
    "DIGEST_MISMATCH",
    `${label}: digest mismatch: expected ${expected}, found ${found}`,
    {
      details: { expected, found },
    },
  );
}

interface FoundManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
}

interface Candidate {
  readonly found: FoundManifest;
  readonly distance: number;
}

/** One search: counts what it looks at, and remembers the platforms it saw for the message. */
class ManifestSearch {
  readonly #choice: PlatformChoice;
  readonly #wanted: Platform;
  readonly #read: ReadDocument;
  readonly #platforms: Platform[] = [];
  #descriptorCount = 0;

  constructor(choice: PlatformChoice, read: ReadDocument) {
    this.#choice = choice;
    this.#wanted = choice.platform ?? choice.defaultPlatform;
    this.#read = read;
  }

  /** The manifest a descriptor leads to; whatever its platform where it is a manifest itself. */
  async follow(descriptor: Descriptor): Promise<FoundManifest | undefined> {
    const document = await this.#load(descriptor);
    if (document.kind === "manifest") return { descriptor, manifest: document.manifest };
    return (await this.choose(document.index.manifests, 1))?.found;
  }

  /** The best of an index's entries: nearest to the wanted platform, the first of equals. */
  async choose(entries: readonly Descriptor[], depth: number): Promise<Candidate | undefined> {
    this.#checkLimits(entries.length, depth);
    const images = entries.filter((entry) => !isAttestation(entry));
    let best: Candidate | undefined;
    for (const entry of images) {
      const distance = this.#distanceOf(entry, images.length === 1);
      if (distance === undefined || (best !== undefined && best.distance <= distance)) continue;
      const candidate = await this.#candidate(entry, distance, depth);
      if (candidate !== undefined && (best === undefined || candidate.distance < best.distance))
        best = candidate;
    }
    return best;
  }

  notFound(label: string): LambdaImgError {
    return platformNotFound(label, this.#wanted, this.#platforms);
  }

  /** 0 for an entry that does not name its platform, if it is an index or the only entry: its content decides. */
  #distanceOf(entry: Descriptor, isOnly: boolean): number | undefined {
    if (entry.platform !== undefined) {
      this.#platforms.push(entry.platform);
      this.#choice.onPlatform?.(entry.platform);
      return platformDistance(this.#wanted, entry.platform);
    }
    return isOnly || isIndex(entry) ? 0 : undefined;
  }

  async #candidate(entry: Descriptor, distance: number, depth: number): Promise<Candidate | undefined> {
    const document = await this.#load(entry);
    if (document.kind === "manifest")
      return { found: { descriptor: entry, manifest: document.manifest }, distance };
    return this.choose(document.index.manifests, depth + 1);
  }

  async #load(descriptor: Descriptor): Promise<ImageDocument> {
    const where = `${isIndex(descriptor) ? "image index" : "image manifest"} ${descriptor.digest}`;
    const bytes = await readVerified(descriptor, where, this.#read);
    return parseImageDocument(bytes, { where, mediaType: descriptor.mediaType });
  }

  #checkLimits(entryCount: number, depth: number): void {
    if (depth > INDEX_DEPTH_MAX) {
      throw new LambdaImgError(
        "OCI_INVALID",
        `image index: nested too deep: the limit is ${INDEX_DEPTH_MAX}`,
      );
    }
    this.#descriptorCount += entryCount;
    if (this.#descriptorCount > INDEX_DESCRIPTORS_MAX) {
      throw new LambdaImgError(
        "DOCUMENT_TOO_LARGE",
        `image index: too many descriptors: the limit is ${INDEX_DESCRIPTORS_MAX}`,
      );
    }
  }
}

function isIndex(descriptor: Descriptor): boolean {
  return /\.(?:index\.v1|manifest\.list\.v2)\+json$/.test(descriptor.mediaType);
}

function platformNotFound(label: string, wanted: Platform, there: readonly Platform[]): LambdaImgError {
  const names = [...new Set(there.map(showPlatform))];
  const shown = names.length > 30 ? `${names.slice(0, 30).join(", ")}, …` : names.join(", ");
  const list = names.length === 0 ? "there is no manifest that names a platform" : `there are: ${shown}`;
  return new LambdaImgError(
    "PLATFORM_NOT_FOUND",
    `${label}: no image for the platform ${showPlatform(wanted)}; ${list}`,
    { details: { wanted: showPlatform(wanted), found: shown } },
  );
}
