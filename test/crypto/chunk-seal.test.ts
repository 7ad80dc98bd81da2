import { readFileSync } from "node:fs";

import fc from "fast-check";
import { expect, test } from "vitest";

import { CHUNK_BYTES, chunkNameOf } from "../../src/chunk/chunk.ts";
import { chunkKeyAt, openChunk, sealChunk } from "../../src/crypto/chunk-seal.ts";
import { saltOf, type Salt } from "../../src/crypto/salt.ts";
import vectors from "../../fixtures/vectors/chunk.json" with { type: "json" };
import { hex, repeatedChunk, sealWithNoble, unhex } from "../support/noble.ts";

const SALT = saltOf({ rootId: "r0", epoch: 0, placement: "" });

test.each(vectors.vectors)("the sealed chunk is that of the vector: $name", (vector) => {
  const plain = repeatedChunk(vector.plainRepeat);
  const noble = sealWithNoble(plain, unhex(vector.salt));
  const ours = sealChunk(plain, unhex(vector.salt) as Salt);
  expect(hex(noble.plainDigest)).toBe(vector.plainDigest);
  expect(hex(noble.key)).toBe(vector.key);
  expect(noble.name).toBe(vector.chunkName);
  expect(hex(ours.plainDigest)).toBe(vector.plainDigest);
  expect(hex(ours.key)).toBe(vector.key);
  expect(ours.name).toBe(vector.chunkName);
  expect(hex(ours.sealed.subarray(0, 32))).toBe(vector.sealedStart);
  expect(hex(ours.sealed.subarray(-32))).toBe(vector.sealedEnd);
  expect(Buffer.compare(ours.sealed, noble.sealed)).toBe(0);
  expect(Buffer.compare(openChunk(ours.sealed, ours.key), plain)).toBe(0);
});

test("sealing is a function of plain chunk and salt, and opening undoes it", () => {
  const pattern = fc.uint8Array({ minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(pattern, pattern, (plainPattern, placement) => {
      const plain = repeatedChunk(hex(plainPattern));
      const salt = saltOf({ rootId: "r0", epoch: 0, placement: hex(placement) });
      const first = sealChunk(plain, salt);
      const second = sealChunk(Uint8Array.from(plain), salt);
      expect(second.name).toBe(first.name);
      expect(first.name).toBe(chunkNameOf(first.sealed));
      expect(sealChunk(plain, SALT).name).not.toBe(first.name);
      expect(Buffer.compare(openChunk(first.sealed, second.key), plain)).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test("a chunk in shared memory, or in the middle of larger memory, seals and opens alike", () => {
  const plain = repeatedChunk("0123456789");
  const expected = sealChunk(plain, SALT);
  const shared = new Uint8Array(new SharedArrayBuffer(CHUNK_BYTES + 77), 13, CHUNK_BYTES);
  const view = new Uint8Array(CHUNK_BYTES + 77).subarray(7, 7 + CHUNK_BYTES);
  for (const memory of [shared, view]) {
    memory.set(plain);
    const sealed = sealChunk(memory, SALT);
    expect(sealed.name).toBe(expected.name);
    memory.set(sealed.sealed);
    expect(Buffer.compare(openChunk(memory, sealed.key), plain)).toBe(0);
  }
});

test("what is returned is no Buffer and no view of larger memory", () => {
  const sealed = sealChunk(repeatedChunk("01"), SALT);
  for (const bytes of [sealed.sealed, openChunk(sealed.sealed, sealed.key)]) {
    expect(Buffer.isBuffer(bytes)).toBe(false);
    expect(bytes.buffer.byteLength).toBe(CHUNK_BYTES);
  }
});

test("a chunk of another size is a bug", () => {
  const { key } = sealChunk(repeatedChunk("01"), SALT);
  expect(() => sealChunk(new Uint8Array(CHUNK_BYTES - 1), SALT)).toThrow("512 KiB");
  expect(() => openChunk(new Uint8Array(CHUNK_BYTES + 1), key)).toThrow("512 KiB");
});

test("a key is read from its place of the key table and nowhere else", () => {
  const keys = Uint8Array.from({ length: 64 }, (_, index) => index);
  expect(hex(chunkKeyAt(keys, 1))).toBe(hex(keys.subarray(32)));
  expect(() => chunkKeyAt(keys, 2)).toThrow("key table");
});

test("the page of the format has the keys and names of the vectors", () => {
  const page = readFileSync("docs/format/chunk.md", "utf8");
  for (const vector of vectors.vectors.slice(1)) {
    expect(page).toContain(`| ${vector.key} | ${vector.chunkName} |`);
    expect(page).toContain(vector.salt);
  }
});
