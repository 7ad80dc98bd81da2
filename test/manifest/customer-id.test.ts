import { expect, test } from "vitest";

import { parseCustomerId } from "../../src/manifest/customer-id.ts";

test("16 lower-case hexadecimal digits are a customer id", () => {
  expect(parseCustomerId("0123456789abcdef")).toBe("0123456789abcdef");
});

test.each([
  "",
  "0123456789abcde",
  "0123456789abcdef0",
  "0123456789ABCDEF",
  "../../../../etc/",
  "0123456789abcdef\n",
])("%j is no customer id", (text) => {
  expect(parseCustomerId(text)).toBeUndefined();
});
