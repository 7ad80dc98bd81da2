/** Media types of images (image-spec media-types.md) and of Docker's image manifest version 2, schema 2. */
import { LambdaImgError } from "../base/error.ts";

/** What a document with `manifests`, or one with `config` and `layers`, is. */
export type DocumentKind = "index" | "manifest";

/** The media type of an image index. */
export const OCI_INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG_MEDIA_TYPE = "application/vnd.oci.image.config.v1+json";

const DOCUMENT_KINDS: ReadonlyMap<string, DocumentKind> = new Map([
  [OCI_INDEX_MEDIA_TYPE, "index"],
  ["application/vnd.docker.distribution.manifest.list.v2+json", "index"],
  [OCI_MANIFEST_MEDIA_TYPE, "manifest"],
  ["application/vnd.docker.distribution.manifest.v2+json", "manifest"],
]);

const CONFIG_MEDIA_TYPES: ReadonlySet<string> = new Set([
  OCI_CONFIG_MEDIA_TYPE,
  "application/vnd.docker.container.image.v1+json",
]);

const LAYER_MEDIA_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.v1.tar",
  "application/vnd.oci.image.layer.v1.tar+gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.diff.tar",
  "application/vnd.docker.image.rootfs.diff.tar.gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd",
]);

/** Layers that their makers did not want pushed to registries; with their bytes at hand they are as others. */
const FOREIGN_LAYER_MEDIA_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
]);

/**
 * The kind of document a media type stands for.
 * @throws MEDIA_TYPE_UNSUPPORTED for schema 1 and for whatever is no index and no manifest
 */
export function documentKindOf(mediaType: string, where: string): DocumentKind {
  const kind = DOCUMENT_KINDS.get(mediaType);
  if (kind !== undefined) return kind;
  if (/^application\/vnd\.docker\.distribution\.manifest\.v1\+/.test(mediaType)) throw schema1(where);
  throw new LambdaImgError(
    "MEDIA_TYPE_UNSUPPORTED",
    `${where}: unsupported media type: expected an image manifest or an image index, found ${quote(mediaType)}`,
    { details: { mediaType } },
  );
}

/** The refusal of Docker's image manifest version 2, schema 1. */
export function schema1(where: string): LambdaImgError {
  return new LambdaImgError(
    "MEDIA_TYPE_UNSUPPORTED",
    `${where}: unsupported schema version: this is a Docker manifest of schema 1; expected schema 2 or OCI`,
  );
}

/**
 * Makes sure that a manifest's config is that of an image.
 * @throws MEDIA_TYPE_UNSUPPORTED for an artifact (image-spec manifest.md, "Guidelines for Artifact Usage")
 */
export function checkConfigMediaType(mediaType: string, where: string): void {
  if (CONFIG_MEDIA_TYPES.has(mediaType)) return;
  throw new LambdaImgError(
    "MEDIA_TYPE_UNSUPPORTED",
    `${where}: this is an artifact, not an image: its config has the media type ${quote(mediaType)}, expected ${OCI_CONFIG_MEDIA_TYPE}`,
    { details: { mediaType } },
  );
}

/**
 * Makes sure that a layer is a tar, of whatever compression: that is decided by the bytes.
 * @throws MEDIA_TYPE_UNSUPPORTED
 */
export function checkLayerMediaType(mediaType: string, where: string): void {
  if (LAYER_MEDIA_TYPES.has(mediaType) || FOREIGN_LAYER_MEDIA_TYPES.has(mediaType)) return;
  const what = mediaType.endsWith("+encrypted")
    ? "encrypted layers cannot be read"
    : "unknown layer media type";
  throw new LambdaImgError(
    "MEDIA_TYPE_UNSUPPORTED",
    `${where}: unsupported media type: ${what}: expected a layer (tar, tar+gzip, tar+zstd), found ${quote(mediaType)}`,
    { details: { mediaType } },
  );
}

/** True for layers that a source may lack on purpose, because a licence forbids to pass them on. */
export function isForeignLayer(mediaType: string): boolean {
  return FOREIGN_LAYER_MEDIA_TYPES.has(mediaType);
}

function quote(mediaType: string): string {
  return JSON.stringify(mediaType.length > 200 ? `${mediaType.slice(0, 200)}…` : mediaType);
}
