import fc from "fast-check";
import { expect, test } from "vitest";

import { chunkNameOf } from "../../src/chunk/chunk.ts";
import {
  diskBytes,
  findChunk,
  ManifestBuilder,
  tableChunkName,
  tableChunkNames,
} from "../../src/manifest/manifest.ts";
import { sampleContent, sampleRecord } from "../support/manifest-sample.ts";

test("a builder gives the chunks in order, whatever order they came in, and the last word on each", () => {
  const chunk = fc.record({ index: fc.nat(40), seed: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(chunk), (chunks) => {
      const builder = new ManifestBuilder(41);
      const model = new Map<number, number>();
      for (const { index, seed } of chunks) {
        const key = new Uint8Array(32).fill(seed);
        builder.set(index, { name: chunkNameOf(key), key });
        model.set(index, seed);
      }
      const content = builder.finish(sampleRecord);
      const expected = [...model].sort(([left], [right]) => left - right);
      expect(content.diskChunkCount).toBe(41);
      expect([...content.indexes]).toEqual(expected.map(([index]) => index));
      expect([...tableChunkNames(content)]).toEqual(
        expected.map(([, seed]) => chunkNameOf(new Uint8Array(32).fill(seed))),
      );
      expect([...content.keys]).toEqual(expected.flatMap(([, seed]) => new Array<number>(32).fill(seed)));
      for (let index = 0; index < 41; index++) {
        expect(findChunk(content, index)).toBe(expected.findIndex(([found]) => found === index));
      }
    }),
  );
});

test("a builder keeps copies", () => {
  const builder = new ManifestBuilder(1);
  const key = new Uint8Array(32).fill(1);
  builder.set(0, { name: chunkNameOf(key), key });
  key.fill(2);
  expect(builder.finish(sampleRecord).keys[0]).toBe(1);
});

test("a chunk outside of the disk image is a bug", () => {
  const builder = new ManifestBuilder(1);
  const key = new Uint8Array(32);
  for (const index of [-1, 1]) {
    expect(() => {
      builder.set(index, { name: chunkNameOf(key), key });
    }).toThrow("in the disk image");
  }
  expect(() => tableChunkName(sampleContent(1), 1)).toThrow("in the table");
});

test("a disk image has 512 KiB for each chunk", () => {
  expect(diskBytes(sampleContent(3))).toBe(7 * 524288);
});
