/** Seals and opens manifests with a customer key. docs/format/manifest.md, "How to compute". */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";

import { LambdaImgError } from "../base/error.ts";
import {
  decodeManifest,
  decodeSecrets,
  encodeClear,
  encodeSecrets,
  HEADER_BYTES,
  MAC_OFFSET,
  TAG_BYTES,
  type ManifestParts,
} from "../manifest/manifest-codec.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import type { CustomerKey } from "./customer-key.ts";
import { derive } from "./_derive.ts";

const MAC_INFO = "lambda-img manifest mac v1";
const KEY_INFO = "lambda-img manifest v1";
// The sealing key follows from the content and so seals nothing else: one IV is enough (as in RFC 5297).
const IV_ZERO = new Uint8Array(12);

/**
 * The manifest: a pure function of content and key.
 * @throws DOCUMENT_TOO_LARGE
 */
export function sealManifest(content: ManifestContent, key: CustomerKey): Uint8Array {
  const secrets = encodeSecrets(content);
  const clear = encodeClear(content, secrets.length + TAG_BYTES);
  const contentMac = contentMacOf(clear, secrets, key);
  clear.set(contentMac, MAC_OFFSET);
  const cipher = createCipheriv("aes-256-gcm", sealingKey(contentMac, key), IV_ZERO);
  cipher.setAAD(clear);
  const manifest = new Uint8Array(clear.length + secrets.length + TAG_BYTES);
  manifest.set(clear, 0);
  manifest.set(cipher.update(secrets), clear.length);
  cipher.final();
  manifest.set(cipher.getAuthTag(), clear.length + secrets.length);
  return manifest;
}

/**
 * The content of a manifest that the holder of `key` sealed.
 * @throws MANIFEST_INVALID, MANIFEST_VERSION_UNSUPPORTED, DOCUMENT_TOO_LARGE; MANIFEST_FORGED where the key is
 *   another or the bytes were changed, which look the same
 */
export function openManifest(bytes: Uint8Array, key: CustomerKey): ManifestContent {
  const parts = decodeManifest(bytes);
  const secrets = openSecrets(parts, key);
  // GCM alone lets one ciphertext open under two keys; the MAC over the content binds it to this one.
  if (secrets === undefined || !timingSafeEqual(contentMacOf(parts.clear, secrets, key), parts.contentMac)) {
    throw new LambdaImgError(
      "MANIFEST_FORGED",
      "manifest: it does not open with this key: either the key is another or the manifest was changed",
    );
  }
  return { ...parts.table, ...decodeSecrets(secrets, parts.table.indexes.length) };
}

function openSecrets(parts: ManifestParts, key: CustomerKey): Uint8Array | undefined {
  const secretBytes = parts.sealed.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", sealingKey(parts.contentMac, key), IV_ZERO, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(parts.clear);
  decipher.setAuthTag(parts.sealed.subarray(secretBytes));
  const opened = decipher.update(parts.sealed.subarray(0, secretBytes));
  try {
    decipher.final();
    return new Uint8Array(opened.buffer, opened.byteOffset, opened.byteLength);
  } catch {
    return undefined; // It has one way to fail: the tag does not fit.
  }
}

/** Over header and table without the MAC itself, then the plaintext of the sealed part; the header has all lengths. */
function contentMacOf(clear: Uint8Array, secrets: Uint8Array, key: CustomerKey): Uint8Array {
  return createHmac("sha256", derive(key, { info: MAC_INFO }))
    .update(clear.subarray(0, MAC_OFFSET))
    .update(clear.subarray(HEADER_BYTES))
    .update(secrets)
    .digest();
}

function sealingKey(contentMac: Uint8Array, key: CustomerKey): Uint8Array {
  return derive(key, { salt: contentMac, info: KEY_INFO });
}
