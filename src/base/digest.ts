// ⚡ uses: Buffer
/** Digests as OCI writes them (image-spec descriptor.md, "Digests"), and hashing. */
import { createHash, hash as hashAtOnce, type Hash } from "node:crypto";

import { asByteString, type ByteString } from "./bytes.ts";
import { LambdaImgError } from "./error.ts";

declare const digest: unique symbol;
declare const diffId: unique symbol;

/** `sha256:` or `sha512:` and lower-case hexadecimal, checked. */
export type Digest = string & { readonly [digest]: true };

/** The digest of a layer's uncompressed tar. */
export type DiffId = Digest & { readonly [diffId]: true };

const HEX_LENGTHS: ReadonlyMap<string, number> = new Map([
  ["sha256", 64],
  ["sha512", 128],
]);

/**
 * Reads a digest. `where` says whose it is, for the message.
 * @throws OCI_INVALID where it has not the form of a digest; DIGEST_UNSUPPORTED for another algorithm
 */
export function parseDigest(text: unknown, where: string): Digest {
  const match =
    typeof text === "string" ? /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):([A-Za-z0-9=_-]+)$/.exec(text) : null;
  if (match === null) {
    const found = typeof text === "string" ? JSON.stringify(text.slice(0, 100)) : typeof text;
    throw new LambdaImgError(
      "OCI_INVALID",
      `${where}: invalid digest: expected algorithm:hex, found ${found}`,
    );
  }
  const algorithm = match[1] ?? "";
  const encoded = match[2] ?? "";
  const length = HEX_LENGTHS.get(algorithm);
  if (length === undefined) {
    throw new LambdaImgError(
      "DIGEST_UNSUPPORTED",
      `${where}: unsupported digest algorithm: expected sha256 or sha512, found ${algorithm}`,
    );
  }
  if (encoded.length !== length || !/^[0-9a-f]+$/.test(encoded)) {
    throw new LambdaImgError(
      "OCI_INVALID",
      `${where}: invalid digest: expected ${length} lower-case hexadecimal digits after ${algorithm}:, found ${JSON.stringify(encoded.slice(0, 130))}`,
    );
  }
  return text as Digest;
}

/** A digest in the role of a diff ID: of an uncompressed layer. */
export function asDiffId(value: Digest): DiffId {
  return value as DiffId;
}

/** `sha256` or `sha512`. */
export function digestAlgorithm(value: Digest): "sha256" | "sha512" {
  return value.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The hexadecimal digits after the colon. */
export function digestHex(value: Digest): string {
  return value.slice(value.indexOf(":") + 1);
}

/** The sha256 digest of the bytes, as OCI writes it. */
export function sha256Digest(bytes: Uint8Array): Digest {
  return `sha256:${hashAtOnce("sha256", bytes, "hex")}` as Digest;
}

/** The 32 bytes of the SHA-256 of `bytes`, in fresh memory. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hashAtOnce("sha256", bytes, "buffer"));
}

/** The same of a byte string, as one: for paths, of which there may be a million, it takes a fifth of the time. */
export function sha256OfByteString(text: ByteString): ByteString {
  return asByteString(hashAtOnce("sha256", Buffer.from(text, "latin1"), "binary"));
}

/** How a content security policy names an inline script or style: CSP Level 3, "hash-source", over its UTF-8 form. */
export function sha256Source(text: string): string {
  return `sha256-${hashAtOnce("sha256", text, "base64")}`;
}

/** A digest of bytes that come in pieces. */
export class DigestBuilder {
  readonly #algorithm: "sha256" | "sha512";
  readonly #hasher: Hash;

  constructor(algorithm: "sha256" | "sha512" = "sha256") {
    this.#algorithm = algorithm;
    this.#hasher = createHash(algorithm);
  }

  /** Takes the next bytes; they are read before it returns. */
  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  /** The digest of all that was taken; call it once. */
  finish(): Digest {
    return `${this.#algorithm}:${this.#hasher.digest("hex")}` as Digest;
  }
}
