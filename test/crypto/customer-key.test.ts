import fc from "fast-check";
import { expect, test } from "vitest";

import {
  asCustomerKey,
  customerIdOf,
  parseCustomerKey,
  showCustomerKey,
} from "../../src/crypto/customer-key.ts";
import vectors from "../../fixtures/vectors/manifest.json" with { type: "json" };
import { derive, hex, unhex } from "../support/noble.ts";

test("a customer's id is that of the vector", () => {
  const key = unhex(vectors.customerKey);
  expect(hex(derive(key, "lambda-img customer v1", undefined, 8))).toBe(vectors.customerId);
  expect(customerIdOf(asCustomerKey(key))).toBe(vectors.customerId);
  expect(showCustomerKey(asCustomerKey(key))).toBe(vectors.customerKeyBase64);
});

test("any 32 bytes are a key and read back from base64", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const key = parseCustomerKey(showCustomerKey(asCustomerKey(bytes)));
      expect(key === undefined ? undefined : hex(key)).toBe(hex(bytes));
    }),
  );
});

test.each([
  ["nothing", ""],
  ["31 bytes", Buffer.alloc(31).toString("base64")],
  ["33 bytes", Buffer.alloc(33).toString("base64")],
  ["no padding", Buffer.alloc(32).toString("base64").replace("=", "")],
  ["the URL alphabet", Buffer.alloc(32, 0xff).toString("base64").replaceAll("/", "_")],
  ["a second form of the same bytes", `${"A".repeat(42)}B=`],
  ["a line end", `${Buffer.alloc(32).toString("base64")}\n`],
  ["hexadecimal", "00".repeat(32)],
])("a key is refused that is %s", (_, text) => {
  expect(parseCustomerKey(text)).toBeUndefined();
});

test("a key of another length is a bug", () => {
  expect(() => asCustomerKey(new Uint8Array(31))).toThrow("32 bytes");
});
