import fc from "fast-check";
import { expect, test } from "vitest";

import { DIGEST_BYTES } from "../../src/chunk/chunk.ts";
import type { ChunkTable } from "../../src/manifest/manifest.ts";
import { ChunkCensus, countCommon } from "../../src/report/chunk-census.ts";

/** A table whose chunk at each place has the name that a number stands for. */
function tableOf(numbers: readonly number[]): ChunkTable {
  const names = new Uint8Array(numbers.length * DIGEST_BYTES);
  for (const [at, number] of numbers.entries())
    names.fill(number, at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
  return {
    diskChunkCount: numbers.length + 1,
    indexes: Uint32Array.from(numbers.keys()),
    names,
  };
}

const images = fc.array(fc.array(fc.nat(12), { maxLength: 10 }), { maxLength: 6 });

test("counts are those of sets", () => {
  fc.assert(
    fc.property(images, (all) => {
      const census = new ChunkCensus();
      const counted = all.map((numbers) => census.add(tableOf(numbers)));
      const sets = all.map((numbers) => new Set(numbers));
      expect(census.chunkCount).toBe(new Set(all.flat()).size);
      for (const [index, numbers] of all.entries()) {
        const { ordinals, distinct } = counted[index]!;
        expect(distinct.length).toBe(sets[index]!.size);
        for (const [at, number] of numbers.entries()) {
          expect(census.imageCount(ordinals[at]!)).toBe(sets.filter((set) => set.has(number)).length);
        }
        for (const [other, set] of sets.entries()) {
          const common = [...sets[index]!].filter((number) => set.has(number)).length;
          expect(countCommon(counted[index]!, counted[other]!)).toBe(common);
        }
      }
      const sharers = [...new Set(all.flat())].map((number) => sets.filter((set) => set.has(number)).length);
      for (const [imageCount, chunkCount] of census.histogram()) {
        expect(sharers.filter((count) => count === imageCount).length).toBe(chunkCount);
      }
      expect(census.histogram().reduce((sum, [, chunkCount]) => sum + chunkCount, 0)).toBe(sharers.length);
    }),
  );
});

test("the most shared chunks come first, those of one image never", () => {
  const census = new ChunkCensus();
  for (const numbers of [
    [1, 2, 3],
    [2, 3],
    [3, 4],
  ]) {
    census.add(tableOf(numbers));
  }
  // Ordinals 0 to 3 stand for 1 to 4.
  expect(census.mostShared(10)).toEqual([2, 1]);
  expect(census.mostShared(1)).toEqual([2]);
  expect(census.histogram()).toEqual([
    [3, 1],
    [2, 1],
    [1, 2],
  ]);
});
