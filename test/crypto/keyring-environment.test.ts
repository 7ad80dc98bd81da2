import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { openKeyringEnvironment } from "../../src/crypto/keyring-environment.ts";
import vectors from "../../fixtures/vectors/manifest.json" with { type: "json" };

test("a key in base64 opens", () => {
  const keyring = openKeyringEnvironment({ variable: "KEY", value: vectors.customerKeyBase64 });
  expect(keyring.customerId).toBe(vectors.customerId);
});

test("another text is refused, and its message quotes the variable but not the text", () => {
  try {
    openKeyringEnvironment({ variable: "KEY", value: "hunter2" });
    expect.unreachable();
  } catch (error) {
    expect(isLambdaImgError(error, "KEY_INVALID")).toBe(true);
    expect(String(error)).toContain("KEY: invalid key: expected 32 bytes in base64");
    expect(String(error)).not.toContain("hunter2");
  }
});
