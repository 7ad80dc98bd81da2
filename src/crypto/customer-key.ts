// ⚡ uses: Buffer
/** The key that a customer's manifests are sealed with, and the name that the customer has in a store. */
import { assert, definite } from "../base/error.ts";
import { toHex } from "../base/bytes.ts";
import { parseCustomerId, type CustomerId } from "../manifest/customer-id.ts";
import { derive } from "./_derive.ts";

declare const customerKey: unique symbol;

/** 32 bytes. Secret. */
export type CustomerKey = Uint8Array & { readonly [customerKey]: true };

/** Bytes of a customer key. */
export const CUSTOMER_KEY_BYTES = 32;

// 32 bytes are 42 digits, one digit whose last two bits are zero (so that a key has one form), and padding.
const KEY_TEXT = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** The first 8 bytes of a derived key that nothing else uses: tells nothing of the customer key. */
export function customerIdOf(key: CustomerKey): CustomerId {
  const id = derive(key, { info: "lambda-img customer v1", length: 8 });
  return definite(parseCustomerId(toHex(id)), "8 bytes in hexadecimal are a customer id");
}

/** 32 bytes as a key (the same memory). */
export function asCustomerKey(bytes: Uint8Array): CustomerKey {
  assert(bytes.length === CUSTOMER_KEY_BYTES, "a customer key has 32 bytes");
  return bytes as CustomerKey;
}

/** The key that `text` is in base64 (RFC 4648 section 4, padded, canonical), or `undefined`. */
export function parseCustomerKey(text: string): CustomerKey | undefined {
  return KEY_TEXT.test(text) ? asCustomerKey(Uint8Array.from(Buffer.from(text, "base64"))) : undefined;
}

/** The key in base64; for the key file only. */
export function showCustomerKey(key: CustomerKey): string {
  return Buffer.from(key).toString("base64");
}
