/** The salt of chunk keys: who shares chunks with whom. docs/format/chunk.md, "Salt". */
import { assert } from "../base/error.ts";
import { concatBytes, viewOf } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";
import type { SaltParameters } from "../chunk/salt-parameters.ts";

declare const salt: unique symbol;

/** 32 bytes that are mixed into every chunk key; equal plain chunks share a key only under one salt. */
export type Salt = Uint8Array & { readonly [salt]: true };

// Separates these digests from any other use of SHA-256, and names the version of the encoding.
const DOMAIN = "lambda-img salt v1";

/**
 * The salt for chunks of a root. `tenantSecret` keeps tenants apart who must not learn of each other's
 * chunks; it is empty where all share.
 */
export function saltOf(parameters: SaltParameters, tenantSecret: Uint8Array = new Uint8Array(0)): Salt {
  assert(Number.isSafeInteger(parameters.epoch) && parameters.epoch >= 0, "an epoch is a whole number");
  const epoch = new Uint8Array(8);
  viewOf(epoch).setBigUint64(0, BigInt(parameters.epoch), true);
  const text = new TextEncoder();
  // Every field carries its length, so no two sets of parameters have one encoding.
  const encoding = [
    text.encode(DOMAIN),
    text.encode(parameters.rootId),
    epoch,
    text.encode(parameters.placement),
    tenantSecret,
  ].flatMap((field) => [u32(field.length), field]);
  return sha256(concatBytes(...encoding)) as Salt;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, true);
  return bytes;
}
