import { createHash } from "node:crypto";

import { expect, test } from "vitest";

import type { ChunkName } from "../../src/chunk/chunk.ts";
import { checkSealedDigest, checkSealedSize } from "../../src/chunk/sealed-chunk.ts";

const sealed = new Uint8Array(512 * 1024).fill(3);
const name = createHash("sha256").update(sealed).digest("hex") as ChunkName;
const other = "0".repeat(64) as ChunkName;

test.each([0, 512 * 1024 - 1, 512 * 1024 + 1])("%d bytes are no chunk", (sizeBytes) => {
  expect(() => {
    checkSealedSize(name, sizeBytes);
  }).toThrow(
    expect.objectContaining({
      code: "CHUNK_CORRUPT",
      message: `chunk ${name}: expected 524288 bytes, found ${sizeBytes}`,
      details: { name, expected: 524_288, found: sizeBytes },
    }),
  );
});

test("the bytes of a name are right, others are not", () => {
  checkSealedSize(name, sealed.length);
  checkSealedDigest(name, sealed);
  expect(() => {
    checkSealedDigest(other, sealed);
  }).toThrow(
    expect.objectContaining({
      code: "CHUNK_CORRUPT",
      message: `digest mismatch: expected sha256:${other}, found sha256:${name}`,
      details: { expected: `sha256:${other}`, found: `sha256:${name}` },
    }),
  );
});
