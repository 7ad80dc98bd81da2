/** The name of a manifest: the digest of the whole document. */
import { sha256Digest, type Digest } from "../base/digest.ts";

declare const manifestId: unique symbol;

/** `sha256:` and the lower-case hexadecimal SHA-256 of a manifest's bytes. */
export type ManifestId = Digest & { readonly [manifestId]: true };

/** The id of a manifest's bytes. */
export function manifestIdOf(bytes: Uint8Array): ManifestId {
  return sha256Digest(bytes) as ManifestId;
}

/** The manifest id that `text` is, or `undefined` where it has not the form of one. */
export function parseManifestId(text: string): ManifestId | undefined {
  return /^sha256:[0-9a-f]{64}$/.test(text) ? (text as ManifestId) : undefined;
}
