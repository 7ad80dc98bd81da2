/** What a descriptor of an index can lead to: an index or an image manifest, told apart without doubt. */
import { LambdaImgError } from "../base/error.ts";
import {
  countOf,
  hasMember,
  invalid,
  member,
  parseDocument,
  requiredMember,
  stringOf,
  type JsonAt,
} from "./_json.ts";
import { parseImageIndex, type ImageIndex } from "./image-index.ts";
import { parseImageManifest, type ImageManifest } from "./image-manifest.ts";
import { documentKindOf, schema1, type DocumentKind } from "./media-type.ts";

/** An index or a manifest, parsed. */
export type ImageDocument =
  | { readonly kind: "index"; readonly index: ImageIndex }
  | { readonly kind: "manifest"; readonly manifest: ImageManifest };

/**
 * Reads a document. `where` names it (`image manifest sha256:…`); `mediaType` is what its descriptor says,
 * where there is one.
 * @throws OCI_INVALID, MEDIA_TYPE_UNSUPPORTED, DIGEST_UNSUPPORTED, DOCUMENT_TOO_LARGE
 */
export function parseImageDocument(
  bytes: Uint8Array,
  options: { readonly where: string; readonly mediaType?: string | undefined },
): ImageDocument {
  const at = parseDocument(bytes, options.where);
  checkSchemaVersion(at);
  const kind = kindOf(at, options.mediaType);
  return kind === "index" ? { kind, index: parseImageIndex(at) } : { kind, manifest: parseImageManifest(at) };
}

function checkSchemaVersion(at: JsonAt): void {
  const version = requiredMember(at, "schemaVersion");
  const number = countOf(version);
  if (number === 1) throw schema1(at.document);
  if (number !== 2) throw invalid(version, `expected 2, found ${number}`);
}

/**
 * Media types decide, members must agree: a document that one reader takes for an index and another for a
 * manifest would have two contents under one digest (CVE-2021-41190).
 */
function kindOf(at: JsonAt, described: string | undefined): DocumentKind {
  const ownAt = member(at, "mediaType");
  const own = ownAt === undefined ? undefined : documentKindOf(stringOf(ownAt), at.document);
  const outer = described === undefined ? undefined : documentKindOf(described, at.document);
  if (own !== undefined && outer !== undefined && own !== outer) {
    throw ambiguous(at, `its descriptor says ${outer}, its mediaType says ${own}`);
  }
  const isLikeIndex = hasMember(at, "manifests");
  const isLikeManifest = hasMember(at, "config") || hasMember(at, "layers");
  if (isLikeIndex && isLikeManifest) throw ambiguous(at, "it has both manifests and config or layers");
  const kind = own ?? outer ?? (isLikeIndex ? "index" : isLikeManifest ? "manifest" : undefined);
  if (kind === undefined) {
    throw new LambdaImgError("OCI_INVALID", `${at.document}: neither an image index nor an image manifest`);
  }
  if (kind === "index" ? isLikeManifest : isLikeIndex) {
    throw ambiguous(at, `its media type says ${kind}, its members say ${isLikeIndex ? "index" : "manifest"}`);
  }
  return kind;
}

function ambiguous(at: JsonAt, how: string): LambdaImgError {
  return new LambdaImgError("OCI_INVALID", `${at.document}: ambiguous document: ${how}`);
}
