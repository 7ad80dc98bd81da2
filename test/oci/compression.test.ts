import { expect, test } from "vitest";

import { detectCompression } from "../../src/oci/compression.ts";

test.each([
  [[0x1f, 0x8b, 8], "gzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
  [[0x50, 0x2a, 0x4d, 0x18], "zstd"],
  [[0x5f, 0x2a, 0x4d, 0x18], "zstd"],
  [[0x60, 0x2a, 0x4d, 0x18], "none"],
  [[0x1f], "none"],
  [[], "none"],
  [[0x42, 0x5a, 0x68, 0x39], "none"],
])("bytes %j are %s", (bytes, compression) => {
  expect(detectCompression(Uint8Array.from(bytes), "X")).toBe(compression);
});

test("the empty bzip2 file is bzip2 too", () => {
  const bytes = [0x42, 0x5a, 0x68, 0x39, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90];
  expect(() => detectCompression(Uint8Array.from(bytes), "X")).toThrow(
    expect.objectContaining({ code: "COMPRESSION_UNSUPPORTED" }),
  );
});
