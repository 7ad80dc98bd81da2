import { expect, test } from "vitest";

import { manifestIdOf, parseManifestId } from "../../src/manifest/manifest-id.ts";
import { hex, sha256 } from "../support/noble.ts";

test("a manifest's id is the digest of its bytes", () => {
  const bytes = new Uint8Array([1, 2, 3]);
  expect(manifestIdOf(bytes)).toBe(`sha256:${hex(sha256(bytes))}`);
  expect(parseManifestId(manifestIdOf(bytes))).toBe(manifestIdOf(bytes));
});

test.each([
  "",
  "a".repeat(64),
  `sha256:${"a".repeat(63)}`,
  `sha256:${"A".repeat(64)}`,
  `sha512:${"a".repeat(128)}`,
])("%s is no manifest id", (text) => {
  expect(parseManifestId(text)).toBeUndefined();
});
