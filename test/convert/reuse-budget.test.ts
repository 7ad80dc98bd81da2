/** The budget for entries, made small: what known layers take of it. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type * as Limits from "../../src/base/limit.ts";
import { ENTRIES_BYTES_MAX, ENTRY_BYTES } from "../../src/base/limit.ts";
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

test("an image that is too large is refused, whichever of its layers are known", async () => {
  const refusal = { code: "TREE_TOO_LARGE" };
  await expect(place.convert([ONE, TWO, MORE])).rejects.toMatchObject(refusal);
  for (const known of [[ONE], [TWO], [MORE]]) {
    await place.convert(known);
    await expect(place.convert([ONE, TWO, MORE])).rejects.toMatchObject(refusal);
  }
});
