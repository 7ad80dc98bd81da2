import fc from "fast-check";
import { expect, test } from "vitest";

import { saltOf } from "../../src/crypto/salt.ts";
import vectors from "../../fixtures/vectors/salt.json" with { type: "json" };
import { hex, saltEncoding, sha256, unhex } from "../support/noble.ts";

test.each(vectors.vectors)("the salt is that of the vector: $name", (vector) => {
  expect(hex(saltEncoding(vector))).toBe(vector.encoding);
  expect(hex(sha256(unhex(vector.encoding)))).toBe(vector.salt);
  expect(hex(saltOf(vector, unhex(vector.tenantSecret)))).toBe(vector.salt);
});

test("no two vectors share a salt", () => {
  expect(new Set(vectors.vectors.map((vector) => vector.salt)).size).toBe(vectors.vectors.length);
});

test("without a tenant's secret the secret is empty", () => {
  const parameters = { rootId: "r0", epoch: 0, placement: "" };
  expect(hex(saltOf(parameters))).toBe(hex(saltOf(parameters, new Uint8Array(0))));
});

test("node:crypto and noble agree on the salt of any parameters", () => {
  const input = fc.record({
    rootId: fc.string({ unit: "grapheme" }),
    epoch: fc.maxSafeNat(),
    placement: fc.string({ unit: "grapheme" }),
    tenantSecret: fc.uint8Array().map(hex),
  });
  fc.assert(
    fc.property(input, (parameters) => {
      const expected = hex(sha256(saltEncoding(parameters)));
      expect(hex(saltOf(parameters, unhex(parameters.tenantSecret)))).toBe(expected);
    }),
  );
});

test.each([-1, 0.5, Number.NaN, 2 ** 53])("an epoch of %d is a bug", (epoch) => {
  expect(() => saltOf({ rootId: "r0", epoch, placement: "" })).toThrow("whole number");
});
