import { expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { DifferenceList } from "../../src/verify/difference.ts";

/** The limit that docs/verify.md names. */
const DIFFERENCE_COUNT_MAX = 1000;
const PATH = asByteString("/a");

function listOf(count: number): DifferenceList {
  const list = new DifferenceList();
  for (let i = 0; i < count; i++) list.compare(PATH, "uid", { expected: -1, found: i });
  return list;
}

test("a list keeps differences up to its limit and counts the rest", () => {
  const full = listOf(DIFFERENCE_COUNT_MAX);
  expect([full.kept.length, full.more]).toEqual([DIFFERENCE_COUNT_MAX, 0]);
  const over = listOf(DIFFERENCE_COUNT_MAX + 1);
  expect([over.kept.length, over.more]).toEqual([DIFFERENCE_COUNT_MAX, 1]);
});

test("lists add up, and so do the differences that they did not keep", () => {
  const sum = listOf(10);
  sum.addAll(listOf(DIFFERENCE_COUNT_MAX + 5));
  expect([sum.kept.length, sum.more]).toEqual([DIFFERENCE_COUNT_MAX, 15]);
});

test("what is the same is no difference", () => {
  const list = new DifferenceList();
  list.compare(PATH, "uid", { expected: 1, found: 1 });
  list.compareBytes(PATH, "target", { expected: PATH, found: PATH });
  expect(list.kept).toEqual([]);
});

test("bytes are compared as they are and shown so that a terminal can take them", () => {
  const list = new DifferenceList();
  list.compareBytes(PATH, "target", { expected: asByteString("\xff"), found: asByteString("\\xff") });
  expect(list.kept).toEqual([{ path: "/a", field: "target", expected: "\\xff", found: "\\\\xff" }]);
});
