import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { isLambdaImgError } from "../../src/base/error.ts";
import { nameTooLong, ownByteString, splitPath } from "../../src/tree/path.ts";

const split = (path: string): string[] => splitPath(asByteString(path));

describe("splitPath", () => {
  test.each<[string, string[]]>([
    ["", []],
    ["/", []],
    [".", []],
    ["./", []],
    ["a", ["a"]],
    ["/a", ["a"]],
    ["./a//b/", ["a", "b"]],
    ["a/./b/.", ["a", "b"]],
    ["a/../b", ["b"]],
    ["a/b/../../c", ["c"]],
    ["a/..", []],
    ["...", ["..."]],
    ["..a/.b", ["..a", ".b"]],
    ["\xff/a\nb", ["\xff", "a\nb"]],
    ["__proto__/1", ["__proto__", "1"]],
    ["n".repeat(255), ["n".repeat(255)]],
    // A name that is taken back still has to be a name.
    ["a/b/c/d/../../..", ["a"]],
  ])("%j", (path, names) => {
    expect(split(path)).toEqual(names);
  });

  test.each(["..", "/..", "../a", "a/../..", "./../a", "a/../../a"])(
    "refuses %j, which leads out",
    (path) => {
      expect(() => split(path)).toThrow(
        expect.objectContaining({ code: "TAR_PATH_UNSAFE", kind: "invalid" }),
      );
    },
  );

  test.each(["n".repeat(256), `a/${"n".repeat(256)}/b`, `${"n".repeat(256)}/..`])(
    "refuses a name over 255 bytes",
    (path) => {
      expect(() => split(path)).toThrow(
        expect.objectContaining({ code: "PATH_TOO_LONG", details: { limitBytes: 255, foundBytes: 256 } }),
      );
    },
  );

  test("takes a path of 100,000 names", () => {
    expect(split("d/".repeat(100_000))).toHaveLength(100_000);
  });
});

test("nameTooLong names path, limit and length", () => {
  const error = nameTooLong(asByteString("a/b"), 300);
  expect(isLambdaImgError(error, "PATH_TOO_LONG")).toBe(true);
  expect(error.message).toBe("a/b: name too long: expected at most 255 bytes, found 300");
});

test("a byte string of its own has the same bytes", () => {
  const all = asByteString(String.fromCharCode(...Array.from({ length: 256 }, (_, byte) => byte)));
  expect([ownByteString(all), ownByteString(asByteString(""))]).toEqual([all, ""]);
});
