import { expect, test } from "vitest";

import { asCustomerKey, customerIdOf } from "../../src/crypto/customer-key.ts";
import { keyringOf } from "../../src/crypto/keyring.ts";

test("a keyring gives its key and the key's id", () => {
  const key = asCustomerKey(new Uint8Array(32).fill(9));
  const keyring = keyringOf(key);
  expect(keyring.customerKey()).toBe(key);
  expect(keyring.customerId).toBe(customerIdOf(key));
});

test("printing a keyring as JSON does not print its key", () => {
  const keyring = keyringOf(asCustomerKey(new Uint8Array(32).fill(9)));
  expect(JSON.parse(JSON.stringify(keyring))).toEqual({ customerId: keyring.customerId });
});
