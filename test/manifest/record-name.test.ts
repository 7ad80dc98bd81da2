import { expect, test } from "vitest";

import { parseRecordName } from "../../src/manifest/record-name.ts";

test("64 lower-case digits are a record name", () => {
  const name = "0123456789abcdef".repeat(4);
  expect(parseRecordName(name)).toBe(name);
});

test.each([
  "",
  "a".repeat(63),
  "a".repeat(65),
  "A".repeat(64),
  "g".repeat(64),
  `${"a".repeat(64)}\n`,
  "../".repeat(21),
])("%j is none", (text) => {
  expect(parseRecordName(text)).toBeUndefined();
});
