import { describe, expect, test } from "vitest";

import {
  assert,
  AssertionError,
  definite,
  ERROR_KINDS,
  EXIT_STATUS,
  isLambdaImgError,
  LambdaImgError,
  type ErrorCode,
} from "../../src/base/error.ts";

describe("LambdaImgError", () => {
  test.each(Object.entries(ERROR_KINDS))("%s is of kind %s", (code, kind) => {
    const error = new LambdaImgError(code as ErrorCode, "what failed");
    expect(error).toMatchObject({ name: "LambdaImgError", code, kind, details: {}, message: "what failed" });
    expect(error).not.toHaveProperty("cause");
    expect(EXIT_STATUS[kind]).toBeGreaterThan(0);
  });

  test("keeps details and cause", () => {
    const cause = new Error("below");
    const error = new LambdaImgError("STORE_FULL", "no room", { details: { bytes: 1 }, cause });
    expect(error.details).toEqual({ bytes: 1 });
    expect(error.cause).toBe(cause);
  });
});

test("each kind has an exit status of its own, none of which means success or a bug", () => {
  const statuses = Object.values(EXIT_STATUS);
  expect(new Set(statuses).size).toBe(statuses.length);
  for (const status of [0, 1, 70]) expect(statuses).not.toContain(status);
});

test("isLambdaImgError tells by class and code", () => {
  const error = new LambdaImgError("TAR_INVALID", "x");
  expect(isLambdaImgError(error)).toBe(true);
  expect(isLambdaImgError(error, "OCI_INVALID", "TAR_INVALID")).toBe(true);
  expect(isLambdaImgError(error, "OCI_INVALID")).toBe(false);
  for (const other of [new Error("x"), { code: "TAR_INVALID" }, undefined, null, "TAR_INVALID"]) {
    expect(isLambdaImgError(other)).toBe(false);
  }
});

test("broken invariants are no LambdaImgErrors", () => {
  expect(() => {
    assert(false, "why");
  }).toThrow(AssertionError);
  expect(() => {
    definite(undefined, "why");
  }).toThrow("why");
  expect(() => definite(null, "why")).toThrow(AssertionError);
  expect(definite(0, "why")).toBe(0);
  expect(definite("", "why")).toBe("");
  expect(isLambdaImgError(new AssertionError("x"))).toBe(false);
});
