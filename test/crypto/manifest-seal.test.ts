import { readFileSync } from "node:fs";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openManifest, sealManifest } from "../../src/crypto/manifest-seal.ts";
import { manifestIdOf } from "../../src/manifest/manifest-id.ts";
import { parseImageRecord } from "../../src/manifest/image-record.ts";
import type { ManifestContent } from "../../src/manifest/manifest.ts";
import vectors from "../../fixtures/vectors/manifest.json" with { type: "json" };
import { hex, join, sealManifestWithNoble, unhex, utf8 } from "../support/noble.ts";

const KEY = asCustomerKey(unhex(vectors.customerKey));
const OTHER_KEY = asCustomerKey(new Uint8Array(32).fill(1));

function contentOf(vector: (typeof vectors.vectors)[number]): ManifestContent {
  return {
    diskChunkCount: vector.diskChunkCount,
    indexes: Uint32Array.from(vector.chunks.map((chunk) => chunk.index)),
    names: join(...vector.chunks.map((chunk) => unhex(chunk.name))),
    keys: join(...vector.chunks.map((chunk) => unhex(chunk.key))),
    image: parseImageRecord(utf8(vector.record)),
  };
}

function failure(work: () => unknown): LambdaImgError {
  try {
    work();
  } catch (error) {
    if (error instanceof LambdaImgError) return error;
    throw error;
  }
  return expect.unreachable("it should have failed");
}

describe.each(vectors.vectors)("the vector $name", (vector) => {
  test("is what noble computes", () => {
    const noble = sealManifestWithNoble({ ...vector, customerKey: unhex(vectors.customerKey) });
    expect(hex(noble.contentMac)).toBe(vector.contentMac);
    expect(hex(noble.sealingKey)).toBe(vector.sealingKey);
    expect(hex(noble.bytes)).toBe(vector.manifest);
  });

  test("is what we seal, and opens to the same content", () => {
    const bytes = sealManifest(contentOf(vector), KEY);
    expect(hex(bytes)).toBe(vector.manifest);
    expect(manifestIdOf(bytes)).toBe(vector.manifestId);
    expect(openManifest(unhex(vector.manifest), KEY)).toEqual(contentOf(vector));
  });
});

const sample = contentOf(vectors.vectors[1]!);
const sealed = sealManifest(sample, KEY);

test("any content opens as it was sealed, and seals to the same bytes again", () => {
  const content = fc
    .tuple(fc.uniqueArray(fc.nat(500), { maxLength: 20 }), fc.nat(1000), fc.string({ unit: "binary" }))
    .map(([picked, more, user]): ManifestContent => {
      const indexes = Uint32Array.from(picked.sort((left, right) => left - right));
      return {
        diskChunkCount: (indexes.at(-1) ?? 0) + 1 + more,
        indexes,
        names: Uint8Array.from({ length: indexes.length * 32 }, (_, at) => at * 7),
        keys: Uint8Array.from({ length: indexes.length * 32 }, (_, at) => at * 11),
        image: { ...sample.image, run: { ...sample.image.run, user } },
      };
    });
  fc.assert(
    fc.property(content, fc.uint8Array({ minLength: 32, maxLength: 32 }), (any, keyBytes) => {
      const key = asCustomerKey(keyBytes);
      const bytes = sealManifest(any, key);
      expect(openManifest(bytes, key)).toEqual(any);
      expect(hex(sealManifest(any, key))).toBe(hex(bytes));
      expect(failure(() => openManifest(bytes, OTHER_KEY)).code).toBe("MANIFEST_FORGED");
    }),
  );
});

test("another content or key gives another sealed part throughout", () => {
  const other = sealManifest({ ...sample, image: { ...sample.image, layoutVersion: 2 } }, KEY);
  expect(hex(other.subarray(132, 164))).not.toBe(hex(sealed.subarray(132, 164)));
  expect(hex(sealManifest(sample, OTHER_KEY).subarray(132, 164))).not.toBe(hex(sealed.subarray(132, 164)));
});

test("a wrong key and a change of any byte that keeps the form give one error with one text", () => {
  const expected = failure(() => openManifest(sealed, OTHER_KEY));
  expect(expected.code).toBe("MANIFEST_FORGED");
  const codes = new Map<string, number>();
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed);
    changed[at]! ^= 1;
    const error = failure(() => openManifest(changed, KEY));
    codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
    if (error.code !== "MANIFEST_FORGED") continue;
    expect(error.message).toBe(expected.message);
    expect(error.details).toEqual(expected.details);
    expect(error.cause).toBeUndefined();
  }
  // 28 bytes of header and two indexes have rules of their own; names, MAC and sealed part have none.
  expect(codes.get("MANIFEST_FORGED")).toBeGreaterThanOrEqual(sealed.length - 28 - 8);
});

test("parts of two manifests of one customer do not make a third", () => {
  const other = sealManifest({ ...sample, image: { ...sample.image, layoutVersion: 2 } }, KEY);
  expect(other.length).toBe(sealed.length);
  for (const at of [28, 60, 132, sealed.length - 16]) {
    const mixed = join(sealed.subarray(0, at), other.subarray(at));
    if (hex(mixed) === hex(other)) continue;
    expect(failure(() => openManifest(mixed, KEY)).code).toBe("MANIFEST_FORGED");
  }
});

test("no secret is in the clear part", () => {
  const text = hex(sealed);
  for (const chunk of vectors.vectors[1]!.chunks) expect(text).not.toContain(chunk.key);
  expect(Buffer.from(sealed).includes("PATH=")).toBe(false);
  expect(Buffer.from(sealed).includes(Buffer.from(KEY))).toBe(false);
});

test("the page of the format has the MACs and ids of the vectors", () => {
  const page = readFileSync("docs/format/manifest.md", "utf8");
  expect(page).toContain(vectors.customerId);
  for (const { name, manifest, contentMac, manifestId } of vectors.vectors) {
    expect(page).toContain(`| ${name} | ${manifest.length / 2} | ${contentMac} | ${manifestId} |`);
  }
});
