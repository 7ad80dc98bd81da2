/** OCI image layouts (image-spec image-layout.md), in a directory or an archive. */
import { digestAlgorithm, digestHex, type Digest } from "../base/digest.ts";
import { definite, LambdaImgError } from "../base/error.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isAttestation } from "../oci/descriptor.ts";
import { parseImageDocument } from "../oci/image-document.ts";
import { parseLayoutVersion } from "../oci/image-layout.ts";
import { isForeignLayer, OCI_INDEX_MEDIA_TYPE } from "../oci/media-type.ts";
import { chooseImage, type ChosenImage, type PlatformChoice } from "./choose-manifest.ts";
import { FilesImage, layerLabel, type FileLayer } from "./_files-image.ts";
import type { ImageFiles } from "./_image-files.ts";
import type { OciImage } from "./oci-image.ts";

/** Which image of a layout; at most one of the two. */
export interface LayoutSelector {
  readonly tag?: string | undefined;
  readonly digest?: Digest | undefined;
}

/**
 * Opens an image of a layout; the image then owns `files`.
 * @throws IMAGE_NOT_FOUND, SOURCE_NOT_FOUND, OCI_INVALID, and what chooseImage() throws
 */
export async function openLayoutImage(
  files: ImageFiles,
  selector: LayoutSelector,
  choice: PlatformChoice,
): Promise<OciImage> {
  const entries = await readIndex(files);
  const roots = selectEntries(entries, selector, files.label);
  const chosen = await chooseImage(roots, {
    choice,
    label: files.label,
    read: (descriptor, label) => files.readDocument({ path: filePath(descriptor.digest), label }),
  });
  return new FilesImage({
    files,
    sourceDigest: chosen.digest,
    config: chosen.config,
    layers: layersOf(chosen),
  });
}

/** `blobs/sha256/…`; a parsed digest has no character that could lead elsewhere. */
function filePath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

const REF_NAME = "org.opencontainers.image.ref.name";

async function readIndex(files: ImageFiles): Promise<readonly Descriptor[]> {
  if (!(await files.has("oci-layout"))) {
    throw new LambdaImgError(
      "OCI_INVALID",
      `${files.label}: not an OCI image layout: the file oci-layout is missing`,
    );
  }
  const layoutLabel = `${files.label}: oci-layout`;
  parseLayoutVersion(await files.readDocument({ path: "oci-layout", label: layoutLabel }), layoutLabel);
  const where = `${files.label}: index.json`;
  const bytes = await files.readDocument({ path: "index.json", label: where });
  const document = parseImageDocument(bytes, { where, mediaType: OCI_INDEX_MEDIA_TYPE });
  if (document.kind === "index") return document.index.manifests;
  throw new LambdaImgError("OCI_INVALID", `${where}: expected an image index, found an image manifest`);
}

/**
 * The entries that the selector means. Several of one tag, or several in a layout without tags, are one image
 * for several platforms.
 */
function selectEntries(
  entries: readonly Descriptor[],
  selector: LayoutSelector,
  label: string,
): readonly Descriptor[] {
  const { tag, digest } = selector;
  if (digest !== undefined) {
    const entry = entries.find((each) => each.digest === digest);
    if (entry === undefined) throw imageNotFound(label, `no image with the digest ${digest}`, entries);
    return [entry];
  }
  if (tag !== undefined) {
    const tagged = entries.filter((each) => each.annotations.get(REF_NAME) === tag);
    if (tagged.length === 0)
      throw imageNotFound(label, `no image with the tag ${JSON.stringify(tag)}`, entries);
    return tagged;
  }
  const images = entries.filter((each) => !isAttestation(each));
  if (images.length === 0) {
    throw new LambdaImgError(
      "IMAGE_NOT_FOUND",
      `${label}: no image: index.json has an empty list of manifests`,
    );
  }
  const tags = new Set(images.map((each) => each.annotations.get(REF_NAME)));
  if (tags.size === 1) return images;
  const latest = images.filter((each) => each.annotations.get(REF_NAME) === "latest");
  if (latest.length === 0)
    throw imageNotFound(label, "several images and none is tagged latest; name one", entries);
  return latest;
}

function imageNotFound(label: string, why: string, entries: readonly Descriptor[]): LambdaImgError {
  const tags = new Set(entries.map((entry) => entry.annotations.get(REF_NAME) ?? entry.digest));
  const shown = [...tags].slice(0, 30).map((tag) => JSON.stringify(tag));
  const list = tags.size > shown.length ? `${shown.join(", ")}, …` : shown.join(", ");
  return new LambdaImgError(
    "IMAGE_NOT_FOUND",
    `${label}: ${why}; ${tags.size === 0 ? "there are none" : `there are: ${list}`}`,
  );
}

function layersOf(chosen: ChosenImage): readonly FileLayer[] {
  return chosen.manifest.layers.map((layer, layerIndex) => {
    const label = layerLabel(layerIndex, layer.digest);
    const foreign = `${label} of the media type ${layer.mediaType}, which images may leave out`;
    return {
      path: filePath(layer.digest),
      label: isForeignLayer(layer.mediaType) ? foreign : label,
      descriptor: {
        layerIndex,
        label,
        diffId: definite(chosen.config.diffIds[layerIndex], "a diff ID for each layer"),
        stored: { digest: layer.digest, sizeBytes: layer.sizeBytes },
      },
    };
  });
}
