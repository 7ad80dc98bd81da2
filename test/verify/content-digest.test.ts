import { describe, expect, test } from "vitest";

import { ContentDigestBuilder } from "../../src/verify/content-digest.ts";

/** The digest of bytes given in pieces of `pieceBytes`. */
function digestOf(bytes: Uint8Array, pieceBytes: number): string {
  const digest = new ContentDigestBuilder();
  for (let at = 0; at < bytes.length; at += pieceBytes) digest.add(at, bytes.subarray(at, at + pieceBytes));
  return digest.finish(bytes.length);
}

/** `blockCount` blocks, those in `zeros` all zero, the others each with one byte, and a tail. */
function content(blockCount: number, zeros: readonly number[], tail = ""): Uint8Array {
  const bytes = new Uint8Array(blockCount * 4096 + tail.length);
  for (let block = 0; block < blockCount; block++) {
    if (!zeros.includes(block)) bytes[block * 4096 + ((block * 37) % 4096)] = 1 + (block % 255);
  }
  bytes.set(new TextEncoder().encode(tail), blockCount * 4096);
  return bytes;
}

describe("the digest of a content", () => {
  const contents: readonly (readonly [string, Uint8Array])[] = [
    ["nothing", content(0, [])],
    ["a byte", content(0, [], "x")],
    ["a block", content(1, [])],
    ["a block and a byte", content(1, [], "x")],
    ["blocks", content(9, [])],
    ["a hole before", content(9, [0, 1, 2])],
    ["a hole behind", content(9, [7, 8])],
    ["holes between", content(9, [1, 3, 4, 6], "tail")],
    ["zeros alone", content(3, [0, 1, 2])],
    ["zeros alone, one more", content(4, [0, 1, 2, 3])],
  ];

  test.each(contents)("does not depend on how %s is cut", (_name, bytes) => {
    const whole = digestOf(bytes, Math.max(1, bytes.length));
    for (const pieceBytes of [1, 511, 512, 4095, 4096, 4097, 8192, 10_000]) {
      expect(digestOf(bytes, pieceBytes)).toBe(whole);
    }
  });

  test("differs wherever contents differ", () => {
    const digests = contents.map(([, bytes]) => digestOf(bytes, 4096));
    expect(new Set(digests).size).toBe(contents.length);
  });

  test.each([0, 1, 4095, 4096, 20_000, 36_863])("differs where one bit at %i differs", (at) => {
    const bytes = content(9, [2, 3, 8]);
    const before = digestOf(bytes, 5000);
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    expect(digestOf(bytes, 5000)).not.toBe(before);
  });

  test("differs where a block of bytes and a hole change places", () => {
    expect(digestOf(content(3, [0]).fill(9, 4096), 4096)).not.toBe(
      digestOf(new Uint8Array(3 * 4096).fill(9, 0, 8192), 4096),
    );
  });

  test("leaves out holes as if zeros had been given", () => {
    const bytes = content(9, [1, 3, 4, 6], "tail");
    const digest = new ContentDigestBuilder();
    digest.add(0, bytes.subarray(0, 4000));
    // A hole of less than a block, then one of some.
    digest.add(4050, bytes.subarray(4050, 2 * 4096 + 1));
    digest.add(2 * 4096 + 1, bytes.subarray(2 * 4096 + 1, 3 * 4096));
    digest.add(5 * 4096, bytes.subarray(5 * 4096, 6 * 4096));
    digest.add(7 * 4096 + 100, bytes.subarray(7 * 4096 + 100));
    expect(digest.finish(bytes.length)).toBe(digestOf(bytes, 4096));
  });

  test("costs nothing for a hole of an exbibyte", () => {
    expect(new ContentDigestBuilder().finish(2 ** 52)).not.toBe(
      new ContentDigestBuilder().finish(2 ** 52 - 1),
    );
    expect(new ContentDigestBuilder().finish(4096)).toBe(digestOf(new Uint8Array(4096), 7));
  });

  test("refuses parts that do not ascend, and one past the end", () => {
    const digest = new ContentDigestBuilder();
    digest.add(10, new Uint8Array(10));
    expect(() => {
      digest.add(19, new Uint8Array(1));
    }).toThrow("ascend");
    expect(() => digest.finish(19)).toThrow("past its end");
  });
});
