import { expect, test } from "vitest";

import {
  CHUNK_BYTES,
  chunkNameAt,
  chunkNameBytes,
  chunkNameOf,
  plainDigestOf,
  ZERO_CHUNK_DIGEST,
} from "../../src/chunk/chunk.ts";
import { hex, join, sha256 } from "../support/noble.ts";

test("a chunk has 512 KiB", () => {
  expect(CHUNK_BYTES).toBe(524288);
});

test("the digest of a zero chunk is that of 512 KiB of zeros", () => {
  expect(hex(ZERO_CHUNK_DIGEST)).toBe(hex(sha256(new Uint8Array(CHUNK_BYTES))));
});

test("a chunk's name is the SHA-256 of its sealed bytes, and reads back from a table", () => {
  const name = chunkNameOf(new Uint8Array([1, 2, 3]));
  expect(name).toBe(hex(sha256(new Uint8Array([1, 2, 3]))));
  expect(chunkNameAt(join(new Uint8Array(32), chunkNameBytes(name)), 32)).toBe(name);
  expect(hex(plainDigestOf(new Uint8Array([1, 2, 3])))).toBe(name);
});
