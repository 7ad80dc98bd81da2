/** Names, seals and opens records with a customer key. docs/format/record.md, "How to compute". */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from "node:crypto";

import { definite } from "../base/error.ts";
import { concatBytes, fromHex, toHex, viewOf } from "../base/bytes.ts";
import { DIGEST_BYTES } from "../chunk/chunk.ts";
import { parseRecordName, type RecordName } from "../manifest/record-name.ts";
import type { CustomerKey } from "./customer-key.ts";
import { derive } from "./_derive.ts";

const NAME_INFO = "lambda-img record name v1";
const MAC_INFO = "lambda-img record mac v1";
const KEY_INFO = "lambda-img record v1";
const TAG_BYTES = 16;
// The sealing key follows from the content and so seals nothing else: one IV is enough (as in RFC 5297).
const IV_ZERO = new Uint8Array(12);

/** A record's two parts. The secret one is encrypted, both are authenticated together with the record's name. */
export interface RecordParts {
  readonly clear: Uint8Array;
  readonly secrets: Uint8Array;
}

/** The name of the record about what `identity` (any bytes) says; equal identities have equal names under one key. */
export function recordNameOf(identity: Uint8Array, key: CustomerKey): RecordName {
  const name = toHex(derive(key, { salt: identity, info: NAME_INFO }));
  return definite(parseRecordName(name), "32 bytes in hexadecimal are a record name");
}

/** Clear part, content MAC, encrypted part, tag: a pure function of its arguments. */
export function sealRecord(name: RecordName, { clear, secrets }: RecordParts, key: CustomerKey): Uint8Array {
  const contentMac = contentMacOf(name, { clear, secrets }, key);
  const cipher = createCipheriv("aes-256-gcm", sealingKey(contentMac, key), IV_ZERO);
  cipher.setAAD(clear);
  const encrypted = cipher.update(secrets);
  cipher.final();
  return concatBytes(clear, contentMac, encrypted, cipher.getAuthTag());
}

/**
 * The parts of the record that the holder of `key` sealed under that name; `clear`, of `clearBytes` bytes, is a view.
 * `undefined` where it is not that.
 */
export function openRecord(
  name: RecordName,
  record: { readonly bytes: Uint8Array; readonly clearBytes: number },
  key: CustomerKey,
): RecordParts | undefined {
  const { bytes, clearBytes } = record;
  const secretsStart = clearBytes + DIGEST_BYTES;
  const secretsEnd = bytes.length - TAG_BYTES;
  if (secretsEnd < secretsStart) return undefined;
  const clear = bytes.subarray(0, clearBytes);
  const contentMac = bytes.subarray(clearBytes, secretsStart);
  const decipher = createDecipheriv("aes-256-gcm", sealingKey(contentMac, key), IV_ZERO, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(clear);
  decipher.setAuthTag(bytes.subarray(secretsEnd));
  const opened = decipher.update(bytes.subarray(secretsStart, secretsEnd));
  try {
    decipher.final();
  } catch {
    return undefined; // It has one way to fail: the tag does not fit.
  }
  const secrets = new Uint8Array(opened.buffer, opened.byteOffset, opened.byteLength);
  // The MAC binds the content to name and key, which GCM alone does not.
  const isRight = timingSafeEqual(contentMacOf(name, { clear, secrets }, key), contentMac);
  return isRight ? { clear, secrets } : undefined;
}

function contentMacOf(name: RecordName, { clear, secrets }: RecordParts, key: CustomerKey): Uint8Array {
  const clearLength = new Uint8Array(8);
  viewOf(clearLength).setBigUint64(0, BigInt(clear.length), true);
  return createHmac("sha256", derive(key, { info: MAC_INFO }))
    .update(fromHex(name))
    .update(clearLength)
    .update(clear)
    .update(secrets)
    .digest();
}

function sealingKey(contentMac: Uint8Array, key: CustomerKey): Uint8Array {
  return derive(key, { salt: contentMac, info: KEY_INFO });
}
