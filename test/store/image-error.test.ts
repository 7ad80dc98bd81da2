import { expect, test } from "vitest";

import { assert, LambdaImgError } from "../../src/base/error.ts";
import { imageError, imageFailure } from "../../src/store/image-error.ts";

function brokenInvariant(): Error {
  try {
    assert(false, "an invariant");
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("assert let it pass");
}

test("a failure gets the image's name, and keeps its code, its facts and its cause", () => {
  const cause = new LambdaImgError("DIGEST_MISMATCH", "manifest: digest mismatch", {
    details: { expected: "x" },
  });
  const error = imageError(cause, "app:1");
  expect(error.message).toBe("app:1: manifest: digest mismatch");
  expect([error.code, error.kind, error.details]).toEqual([
    "DIGEST_MISMATCH",
    "corrupt",
    { expected: "x", image: "app:1" },
  ]);
  expect(error.cause).toBe(cause);
  expect(imageError(error, "app:1")).toBe(error);
});

test("a manifest that was asked for by its id is said once, by a name beside it", () => {
  const error = new LambdaImgError("MANIFEST_NOT_FOUND", "manifest sha256:1: not in the store", {
    details: { manifest: "sha256:1" },
  });
  expect(imageError(error, "sha256:1")).toBe(error);
  expect(imageError(error, "app").message).toBe("app: manifest sha256:1: not in the store");
});

test.each<[string, Error]>([
  ["a store that is gone", new LambdaImgError("STORE_NOT_FOUND", "gone")],
  ["a signal", new LambdaImgError("CANCELLED", "cancelled")],
  ["a bug", brokenInvariant()],
])("%s is no failure of one image", (_, error) => {
  expect(() => imageFailure(error)).toThrow(error.message);
  expect(() => imageError(error, "app")).toThrow(error.message);
});
