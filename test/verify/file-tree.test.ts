import { expect, test } from "vitest";

import { showXattrValue } from "../../src/verify/file-tree.ts";

test("a short value is shown whole, a long one by size and digest", () => {
  expect(showXattrValue(new Uint8Array(0))).toBe("0x");
  expect(showXattrValue(new Uint8Array(64).fill(255))).toBe(`0x${"ff".repeat(64)}`);
  // printf 'a%.0s' $(seq 65) | sha256sum
  const digest = "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0";
  expect(showXattrValue(new Uint8Array(65).fill(0x61))).toBe(`65 bytes, sha256:${digest}`);
});
