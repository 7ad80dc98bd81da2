import fc from "fast-check";
import { expect, test } from "vitest";

import type { Digest } from "../../src/base/digest.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { overlayKeyOf } from "../../src/crypto/overlay-key.ts";
import { derive, hex, unhex } from "../support/noble.ts";

test("the key is what noble's HKDF derives, and the same every time", () => {
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, bytes, (customer, disk) => {
      const key = asCustomerKey(Uint8Array.from(customer));
      const diskDigest = `sha256:${hex(disk)}` as Digest;
      const found = hex(overlayKeyOf(key, diskDigest));
      expect(found).toBe(hex(derive(customer, "lambda-img overlay v1", disk)));
      expect(hex(overlayKeyOf(key, diskDigest))).toBe(found);
    }),
  );
});

test("each customer and each disk image has another key", () => {
  const digest = (byte: string): Digest => `sha256:${byte.repeat(32)}` as Digest;
  const keys = ["00", "01"].flatMap((byte) => {
    const customer = asCustomerKey(unhex(byte.repeat(32)));
    return [hex(overlayKeyOf(customer, digest("ab"))), hex(overlayKeyOf(customer, digest("cd")))];
  });
  expect(new Set(keys).size).toBe(4);
});
