import { expect, test } from "vitest";

import { FilePlace, PlacedBody } from "../../src/segment/file-place.ts";
import type { BlockRun } from "../../src/tree/layer-entry.ts";

test("a file without blocks has no place", () => {
  const place = new FilePlace(7, []);
  expect([place.blockCount, place.body.sizeBytes, place.body.runs]).toEqual([0, 7, []]);
  expect(place.isComplete).toBe(true);
});

test("a place is complete with its last block", () => {
  const place = new FilePlace(7, [
    { fileBlock: 0, blockCount: 2 },
    { fileBlock: 9, blockCount: 1 },
  ]);
  const found = [0, 1, 2].map((segmentBlock) => {
    const { isComplete } = place;
    place.put(segmentBlock, 1);
    return isComplete;
  });
  expect([...found, place.isComplete]).toEqual([false, false, false, true]);
});

test("pieces become runs; neighbours in file and segment are one", () => {
  const place = new FilePlace(7, [{ fileBlock: 0, blockCount: 10 }]);
  place.put(128, 4);
  place.put(132, 2);
  place.put(7, 4);
  expect(place.body.runs).toEqual([
    { fileBlock: 0, segmentBlock: 128, blockCount: 6 },
    { fileBlock: 6, segmentBlock: 7, blockCount: 4 },
  ]);
});

test("holes of the file end a run, and take no place", () => {
  const place = new FilePlace(7, [
    { fileBlock: 5, blockCount: 2 },
    { fileBlock: 90, blockCount: 3 },
  ]);
  place.put(10, 1);
  place.put(20, 4);
  expect(place.blockCount).toBe(5);
  expect(place.body.runs).toEqual([
    { fileBlock: 5, segmentBlock: 10, blockCount: 1 },
    { fileBlock: 6, segmentBlock: 20, blockCount: 1 },
    { fileBlock: 90, segmentBlock: 21, blockCount: 3 },
  ]);
});

test("more places than blocks are a bug", () => {
  const place = new FilePlace(7, [{ fileBlock: 0, blockCount: 1 }]);
  expect(() => {
    place.put(0, 2);
  }).toThrow("no more places than blocks");
});

test.each<[string, number, readonly BlockRun[]]>([
  ["no run", 0, []],
  ["all blocks in one run", 5 * 4096 - 1, [{ fileBlock: 0, segmentBlock: 9, blockCount: 5 }]],
  ["a hole at the end", 6 * 4096, [{ fileBlock: 0, segmentBlock: 9, blockCount: 5 }]],
  ["a hole at the start", 6 * 4096, [{ fileBlock: 1, segmentBlock: 9, blockCount: 5 }]],
  ["a run in block 0 of the segment", 1, [{ fileBlock: 0, segmentBlock: 0, blockCount: 1 }]],
  [
    "two runs",
    2 * 4096,
    [
      { fileBlock: 0, segmentBlock: 9, blockCount: 1 },
      { fileBlock: 1, segmentBlock: 3, blockCount: 1 },
    ],
  ],
])("a body with %s keeps its runs", (_, sizeBytes, runs) => {
  expect(new PlacedBody(sizeBytes, runs).runs).toEqual(runs);
});
