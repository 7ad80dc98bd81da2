import fc from "fast-check";
import { expect, test } from "vitest";

import { DiskDigestBuilder } from "../../src/chunk/disk-digest.ts";
import { ZERO_CHUNK_DIGEST } from "../../src/chunk/chunk.ts";
import vectors from "../../fixtures/vectors/chunk.json" with { type: "json" };
import { hex, join, repeatedChunk, sha256 } from "../support/noble.ts";

test.each(vectors.disks)("the disk digest of $plainRepeats is that of the vector", (disk) => {
  const builder = new DiskDigestBuilder();
  for (const pattern of disk.plainRepeats) builder.add(sha256(repeatedChunk(pattern)));
  expect(builder.finish()).toBe(disk.diskDigest);
});

test("the digest of an empty disk image is that of no bytes", () => {
  expect(new DiskDigestBuilder().finish()).toBe(`sha256:${hex(sha256(new Uint8Array(0)))}`);
});

test.each([0, 1, 1023, 1024, 1025, 5000])("%d zero chunks count one by one", (count) => {
  const builder = new DiskDigestBuilder();
  builder.addZero(count);
  const all = join(...Array.from({ length: count }, () => ZERO_CHUNK_DIGEST));
  expect(builder.finish()).toBe(`sha256:${hex(sha256(all))}`);
});

test("the disk digest is a function of the digests in order, however zero chunks are told", () => {
  const chunk = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(fc.array(fc.oneof(chunk, fc.nat(3))), (parts) => {
      const builder = new DiskDigestBuilder();
      const all: Uint8Array[] = [];
      for (const part of parts) {
        if (typeof part === "number") {
          builder.addZero(part);
          for (let i = 0; i < part; i++) all.push(ZERO_CHUNK_DIGEST);
        } else {
          builder.add(part);
          all.push(part);
        }
      }
      expect(builder.finish()).toBe(`sha256:${hex(sha256(join(...all)))}`);
    }),
  );
});

test("a digest of another length is a bug", () => {
  expect(() => {
    new DiskDigestBuilder().add(new Uint8Array(31));
  }).toThrow("32 bytes");
});
