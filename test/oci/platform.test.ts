import { describe, expect, test } from "vitest";

import { normalizePlatform, parsePlatform, platformDistance, showPlatform } from "../../src/oci/platform.ts";

test.each([
  ["linux/amd64", "linux/amd64"],
  ["Linux/AMD64", "linux/amd64"],
  ["linux/x86_64", "linux/amd64"],
  ["linux/amd64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["linux/i386", "linux/386"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm64/8", "linux/arm64"],
  ["linux/arm64/v9", "linux/arm64/v9"],
  ["linux/arm", "linux/arm/v7"],
  ["linux/arm/7", "linux/arm/v7"],
  ["linux/arm/v6", "linux/arm/v6"],
  ["linux/armhf", "linux/arm/v7"],
  ["linux/armel", "linux/arm/v6"],
  ["linux/riscv64", "linux/riscv64"],
])("%s is %s", (text, expected) => {
  expect(showPlatform(parsePlatform(text))).toBe(expected);
});

test.each(["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b", "linux/arm/", "linux\n/amd64"])(
  "%j is no platform",
  (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: "USAGE_INVALID" }));
  },
);

test("another system than linux is refused by name", () => {
  expect(() => parsePlatform("windows/amd64")).toThrow(
    expect.objectContaining({
      code: "PLATFORM_UNSUPPORTED",
      message: expect.stringContaining("windows") as string,
    }),
  );
});

describe("a machine runs images for lower versions of its processor, the nearest first", () => {
  test.each([
    ["linux/amd64", "linux/amd64", 0],
    ["linux/amd64", "linux/amd64/v2", undefined],
    ["linux/amd64/v3", "linux/amd64", 2],
    ["linux/amd64/v3", "linux/amd64/v2", 1],
    ["linux/amd64/v3", "linux/amd64/v4", undefined],
    ["linux/arm/v7", "linux/arm/v7", 0],
    ["linux/arm/v7", "linux/arm/v6", 1],
    ["linux/arm/v7", "linux/arm/v5", 2],
    ["linux/arm/v6", "linux/arm/v7", undefined],
    ["linux/arm64", "linux/arm64/v8", 0],
    ["linux/arm64", "linux/arm64/v9", undefined],
    ["linux/arm64/v9", "linux/arm64", 5],
    ["linux/arm64", "linux/arm/v7", undefined],
    ["linux/amd64", "linux/386", undefined],
    ["linux/riscv64", "linux/riscv64", 0],
    ["linux/mips64le", "linux/mips64le/hardfloat", undefined],
  ])("%s runs %s: %s", (wanted, found, distance) => {
    expect(platformDistance(parsePlatform(wanted), parsePlatform(found))).toBe(distance);
  });
});

test("systems must be equal", () => {
  const windows = normalizePlatform({ os: "windows", architecture: "amd64" });
  expect(platformDistance(parsePlatform("linux/amd64"), windows)).toBeUndefined();
});

test("a platform from a document cannot write to a terminal", () => {
  expect(showPlatform({ os: "linux", architecture: "\u001b[31mred" })).toBe('"linux/\\u001b[31mred"');
});
