import { expect, test } from "vitest";

import { alignUp, divCeil, GIB, KIB, MIB, showBytes, TIB } from "../../src/base/units.ts";

test.each([
  [0, 5, 0],
  [1, 5, 1],
  [5, 5, 1],
  [6, 5, 2],
  [16 * TIB, 4 * KIB, 2 ** 32],
  [16 * TIB - 1, 4 * KIB, 2 ** 32],
])("divCeil(%i, %i) is %i", (dividend, divisor, quotient) => {
  expect(divCeil(dividend, divisor)).toBe(quotient);
});

test.each([
  [0, 4096, 0],
  [1, 4096, 4096],
  [4096, 4096, 4096],
  [4097, 4096, 8192],
])("alignUp(%i, %i) is %i", (value, unit, aligned) => {
  expect(alignUp(value, unit)).toBe(aligned);
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [KIB, "1.00 KiB"],
  [1.5 * MIB, "1.50 MiB"],
  [15 * MIB, "15.0 MiB"],
  [150 * GIB, "150 GiB"],
  [2 * TIB, "2.00 TiB"],
  [5000 * TIB, "5000 TiB"],
])("%i bytes are shown as %s", (sizeBytes, shown) => {
  expect(showBytes(sizeBytes)).toBe(shown);
});
