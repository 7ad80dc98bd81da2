import { expect, test } from "vitest";

import { FilePlace } from "../../src/segment/file-place.ts";

test("a file without blocks has no place", () => {
  const place = new FilePlace([]);
  expect([place.blockCount, place.runs]).toEqual([0, []]);
});

test("pieces become runs; neighbours in file and segment are one", () => {
  const place = new FilePlace([{ fileBlock: 0, blockCount: 10 }]);
  place.put(128, 4);
  place.put(132, 2);
  place.put(7, 4);
  expect(place.runs).toEqual([
    { fileBlock: 0, segmentBlock: 128, blockCount: 6 },
    { fileBlock: 6, segmentBlock: 7, blockCount: 4 },
  ]);
});

test("holes of the file end a run, and take no place", () => {
  const place = new FilePlace([
    { fileBlock: 5, blockCount: 2 },
    { fileBlock: 90, blockCount: 3 },
  ]);
  place.put(10, 1);
  place.put(20, 4);
  expect(place.blockCount).toBe(5);
  expect(place.runs).toEqual([
    { fileBlock: 5, segmentBlock: 10, blockCount: 1 },
    { fileBlock: 6, segmentBlock: 20, blockCount: 1 },
    { fileBlock: 90, segmentBlock: 21, blockCount: 3 },
  ]);
});

test("more places than blocks are a bug", () => {
  const place = new FilePlace([{ fileBlock: 0, blockCount: 1 }]);
  expect(() => {
    place.put(0, 2);
  }).toThrow("no more places than blocks");
});
