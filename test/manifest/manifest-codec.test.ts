import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { DISK_BYTES_MAX, MANIFEST_BYTES_MAX } from "../../src/base/limit.ts";
import {
  decodeManifest,
  decodeManifestTable,
  decodeSecrets,
  encodeClear,
  encodeSecrets,
  HEADER_BYTES,
  TAG_BYTES,
} from "../../src/manifest/manifest-codec.ts";
import vectors from "../../fixtures/vectors/manifest.json" with { type: "json" };
import { join, u16, u32, unhex, utf8 } from "../support/noble.ts";
import { sampleContent } from "../support/manifest-sample.ts";

const content = sampleContent(3);
const secrets = encodeSecrets(content);
const manifest = join(encodeClear(content, secrets.length + TAG_BYTES), secrets, new Uint8Array(TAG_BYTES));

function changed(at: number, bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(manifest);
  copy.set(bytes, at);
  return copy;
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return "no failure";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

test.each(vectors.vectors)("the table of the vector reads without a key: $name", (vector) => {
  const table = decodeManifestTable(unhex(vector.manifest));
  expect(table.diskChunkCount).toBe(vector.diskChunkCount);
  expect([...table.indexes]).toEqual(vector.chunks.map((chunk) => chunk.index));
  expect(Buffer.from(table.names).toString("hex")).toBe(vector.chunks.map((chunk) => chunk.name).join(""));
});

test("a manifest comes apart as it was put together", () => {
  const parts = decodeManifest(manifest);
  const { diskChunkCount, indexes, names } = content;
  expect(parts.table).toEqual({ diskChunkCount, indexes, names });
  expect(parts.contentMac).toEqual(new Uint8Array(32));
  expect(join(parts.clear, parts.sealed)).toEqual(manifest);
  expect(decodeSecrets(parts.sealed.subarray(0, -TAG_BYTES), 3)).toEqual({
    keys: content.keys,
    image: content.image,
  });
});

test("the table does not hang on the manifest's memory", () => {
  const bytes = Uint8Array.from(manifest);
  const { indexes, names } = decodeManifestTable(bytes);
  bytes.fill(0xff);
  expect([...indexes]).toEqual([0, 2, 4]);
  expect(names).toEqual(content.names);
});

describe("a manifest is refused with", () => {
  test.each([
    ["no bytes", new Uint8Array(0)],
    ["another magic", changed(0, utf8("X"))],
    ["nonzero reserved bytes", changed(10, u16(1))],
    ["another chunk size", changed(12, u32(262144))],
    ["no chunk", changed(16, u32(0))],
    ["more chunks than the largest disk image", changed(16, u32(DISK_BYTES_MAX / 524288 + 1))],
    ["an index past the disk image", changed(16, u32(4))],
    ["more stored chunks than chunks", changed(20, u32(8))],
    ["one stored chunk less", changed(20, u32(2))],
    ["a sealed part that is shorter than told", changed(24, u32(secrets.length + TAG_BYTES + 1))],
    ["a sealed part that is longer than told", changed(24, u32(secrets.length + TAG_BYTES - 1))],
    ["a sealed part that cannot hold the keys", changed(24, u32(3 * 32 + 19))],
    ["an index twice", changed(HEADER_BYTES + 36, u32(0))],
    ["indexes that descend", changed(HEADER_BYTES, u32(3))],
    ["the largest index", changed(HEADER_BYTES + 72, u32(0xffffffff))],
    ["a byte more", join(manifest, new Uint8Array(1))],
    ["a byte less", manifest.subarray(0, -1)],
    ["a header alone", manifest.subarray(0, HEADER_BYTES)],
    ["less than a header", manifest.subarray(0, HEADER_BYTES - 1)],
  ])("%s", (_, bytes) => {
    expect(codeOf(() => decodeManifestTable(bytes))).toBe("MANIFEST_INVALID");
  });

  test.each([0, 2, 65535])("version %d", (version) => {
    expect(codeOf(() => decodeManifest(changed(8, u16(version))))).toBe("MANIFEST_VERSION_UNSUPPORTED");
  });

  test("more bytes than the limit", () => {
    expect(codeOf(() => decodeManifest(new Uint8Array(MANIFEST_BYTES_MAX + 1)))).toBe("DOCUMENT_TOO_LARGE");
  });
});

test("the largest disk image is taken", () => {
  const largest = changed(16, u32(DISK_BYTES_MAX / 524288));
  expect(decodeManifestTable(largest).diskChunkCount).toBe(DISK_BYTES_MAX / 524288);
});

test("the limit has room for the largest disk image with every chunk stored", () => {
  expect((DISK_BYTES_MAX / 524288) * 68 + 16 * 2 ** 20 + 100).toBeLessThan(MANIFEST_BYTES_MAX);
});

test.each([
  ["ends in the keys", secrets.subarray(0, 95)],
  ["ends in the length", secrets.subarray(0, 99)],
  ["ends before the record does", secrets.subarray(0, -1)],
  ["goes on after the record", join(secrets, new Uint8Array(1))],
])("a sealed part is refused that %s", (_, bytes) => {
  expect(codeOf(() => decodeSecrets(bytes, 3))).toBe("MANIFEST_INVALID");
});

test("any bytes are a manifest or refused by name, with or without a good start", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(manifest.length), (bytes, keep) => {
      const code = codeOf(() => decodeManifest(join(manifest.subarray(0, keep), bytes)));
      expect(["no failure", "MANIFEST_INVALID", "MANIFEST_VERSION_UNSUPPORTED"]).toContain(code);
    }),
    { numRuns: 500 },
  );
});

test("a table out of order is a bug of the writer", () => {
  const indexes = Uint32Array.from([1, 0]);
  expect(() => encodeClear({ diskChunkCount: 2, indexes, names: new Uint8Array(64) }, 100)).toThrow(
    "above 1",
  );
  expect(() => encodeClear({ diskChunkCount: 2, indexes, names: new Uint8Array(63) }, 100)).toThrow("name");
});
