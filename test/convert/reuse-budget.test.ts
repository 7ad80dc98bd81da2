/** The budget for entries, made small: what known layers take of it. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type * as Limits from "../../src/base/limit.ts";
import { ENTRIES_BYTES_MAX, ENTRY_BYTES } from "../../src/base/limit.ts";
import { makeSegment } from "../support/layer-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { ReusePlace } from "../support/reuse-place.ts";

vi.mock("../../src/base/limit.ts", async (importOriginal) => ({
  ...(await importOriginal<typeof Limits>()),
  // Ten entries with names of one letter.
  ENTRIES_BYTES_MAX: 10 * (384 + 1),
}));

/** A layer of five files. */
const layer = (letters: string, body: string): Uint8Array => {
  const tar = tarBuilder();
  for (const letter of letters) tar.file(letter, body);
  return tar.end();
};
const [ONE, TWO] = [layer("abcde", "1".repeat(5000)), layer("fghij", "2".repeat(400_000))];
const MORE = layer("k", "3");

let place: ReusePlace;
beforeEach(() => {
  place = new ReusePlace();
});
afterEach(() => {
  place.remove();
});

test("known layers take no more of it than layers that are read: an image that just fits still does", async () => {
  expect(ENTRIES_BYTES_MAX).toBe(10 * (ENTRY_BYTES + 1));
  await place.convert([ONE, TWO]);
  place.forgetConversions();
  expect((await place.convert([ONE, TWO])).layersRead).toEqual([]);
});

test("a file that cutting has left in four places takes no more of it than when it is read", async () => {
  const tar = tarBuilder();
  // The second file, by its name, begins a group, so that the first is a tail; the last fills its group's chunk and goes on to the
  // end of the tails' chunk and beyond.
  const files = [
    ["usual", 64],
    ["1045", 8],
    ["a.lock", 100],
    ["b.lock", 216],
  ] as const;
  for (const [name, blockCount] of files) tar.file(name, new Uint8Array(blockCount * 4096).fill(4));
  const parted = tar.end();
  expect(Array.from(makeSegment(parted).entries, ({ body }) => body?.runs.length)).toEqual([1, 1, 1, 4]);
  const rest = tarBuilder();
  // Five more entries, whose names take what is left.
  let leftBytes = ENTRIES_BYTES_MAX - 9 * ENTRY_BYTES - "usual1045a.lockb.lock".length;
  for (const [i, letter] of ["v", "w", "x", "y", "z"].entries()) {
    const nameBytes = Math.ceil(leftBytes / (5 - i));
    rest.file(letter.repeat(nameBytes));
    leftBytes -= nameBytes;
  }
  expect(leftBytes).toBe(0);
  await place.convert([parted, rest.end()]);
  place.forgetConversions();
  expect((await place.convert([parted, rest.end()])).layersRead).toEqual([]);
});

test("an image that is too large is refused, whichever of its layers are known", async () => {
  const refusal = { code: "TREE_TOO_LARGE" };
  await expect(place.convert([ONE, TWO, MORE])).rejects.toMatchObject(refusal);
  for (const known of [[ONE], [TWO], [MORE]]) {
    await place.convert(known);
    await expect(place.convert([ONE, TWO, MORE])).rejects.toMatchObject(refusal);
  }
});
