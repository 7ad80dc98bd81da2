import { readFileSync } from "node:fs";

import fc from "fast-check";
import { expect, test } from "vitest";

import { imageFileName } from "../../src/store/image-name.ts";
import { hex, sha256, utf8 } from "../support/noble.ts";

test.each([
  ["app", "app"],
  ["registry.example:5000/a-b/c_d:1.2", "registry.example%3a5000%2fa-b%2fc_d%3a1.2"],
  ["App", "%41pp"],
  [".", "%2e"],
  ["..", "%2e."],
  [".hidden", "%2ehidden"],
  ["%2f", "%252f"],
  ["ü", "%c3%bc"],
  ["a b", "a%20b"],
  ["x".repeat(200), "x".repeat(200)],
  ["x".repeat(201), `%sha256-${hex(sha256(utf8("x".repeat(201))))}`],
  ["/".repeat(67), `%sha256-${hex(sha256(utf8("/".repeat(67))))}`],
])("the image name %j is the file name %j", (name, fileName) => {
  expect(imageFileName(name)).toBe(fileName);
});

test("file names are safe, differ where names differ even without case, and short ones tell the name", () => {
  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 80 })
    .filter((text) => !/[\p{C}\p{Zl}\p{Zp}]/u.test(text));
  fc.assert(
    fc.property(name, name, (left, right) => {
      const encoded = imageFileName(left);
      expect(encoded).toMatch(/^(?!\.)[a-z0-9._%-]{1,200}$/);
      expect(encoded === imageFileName(right)).toBe(left === right);
      if (!encoded.startsWith("%sha256-")) expect(decodeURIComponent(encoded)).toBe(left);
    }),
  );
});

test("the page of the format tells the file names of its examples", () => {
  const rows = [
    ...readFileSync("docs/format/store.md", "utf8").matchAll(/^\| `([^`]+)` \| `([^`/]+)` \|$/gm),
  ];
  expect(rows.length).toBeGreaterThanOrEqual(5);
  for (const [, name, fileName] of rows) expect(imageFileName(name ?? "")).toBe(fileName);
});
