/** Descriptors: a reference to bytes by media type, digest and size (image-spec descriptor.md). */
import { parseDigest, type Digest } from "../base/digest.ts";
import { countOf, member, members, requiredMember, stringOf, placeOf, type JsonAt } from "./_json.ts";
import { normalizePlatform, type Platform } from "./platform.ts";

/** A reference to a document or layer. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly platform: Platform | undefined;
  readonly annotations: ReadonlyMap<string, string>;
}

/**
 * Reads a descriptor.
 * @throws OCI_INVALID, DIGEST_UNSUPPORTED
 */
export function parseDescriptor(at: JsonAt): Descriptor {
  const digest = requiredMember(at, "digest");
  const platform = member(at, "platform");
  const annotations = members(member(at, "annotations")).map(
    ([name, value]) => [name, value.value === null ? "" : stringOf(value)] as const,
  );
  return {
    mediaType: stringOf(requiredMember(at, "mediaType")),
    digest: parseDigest(digest.value, placeOf(digest)),
    sizeBytes: countOf(requiredMember(at, "size")),
    platform: platform === undefined ? undefined : parsePlatformObject(platform),
    annotations: new Map(annotations),
  };
}

/** Reads `os`, `architecture` and `variant`, as descriptors and configs have them. */
export function parsePlatformObject(at: JsonAt): Platform {
  const variant = member(at, "variant");
  return normalizePlatform({
    os: stringOf(requiredMember(at, "os")),
    architecture: stringOf(requiredMember(at, "architecture")),
    ...(variant === undefined ? {} : { variant: stringOf(variant) }),
  });
}

/**
 * True for what BuildKit puts beside an image's manifests: provenance and bills of materials, whose platform
 * is unknown/unknown.
 */
export function isAttestation(descriptor: Descriptor): boolean {
  const { platform } = descriptor;
  return (
    descriptor.annotations.has("vnd.docker.reference.type") ||
    (platform?.os === "unknown" && platform.architecture === "unknown")
  );
}
