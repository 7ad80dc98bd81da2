import { expect, test } from "vitest";

import { isCutBefore } from "../../src/base/draw.ts";

test.each([
  // 0x128197ca * 192 / 2^32 is 13.88.
  [0x128197ca, 13, 192, false],
  [0x128197ca, 14, 192, true],
  [0, 1, 192, true],
  [0, 0, 192, false],
  [2 ** 32 - 1, 127, 192, false],
  [2 ** 32 - 1, 192, 192, true],
  [2 ** 32 - 1, 2 ** 36, 192, true],
])("%i drawn for %i blocks, one in %i: %s", (drawn, blockCount, blocksPerCut, expected) => {
  expect(isCutBefore(drawn, blockCount, blocksPerCut)).toBe(expected);
});
