/** The name of a customer in a store. It is derived from the customer's key, in crypto/. */

declare const customerId: unique symbol;

/** 16 lower-case hexadecimal digits; not secret, and safe as a file name. */
export type CustomerId = string & { readonly [customerId]: true };

/** The customer id that `text` is, or `undefined` where it has not the form of one. */
export function parseCustomerId(text: string): CustomerId | undefined {
  return /^[0-9a-f]{16}$/.test(text) ? (text as CustomerId) : undefined;
}
