import fc from "fast-check";
import { expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { compareWalkOrder } from "../../src/report/_walk-order.ts";

test("the order of walks is that of lists of names in byte order", () => {
  const name = fc.string({
    unit: fc.constantFrom("a", "b", "-", "\x01", "\xff", "~"),
    minLength: 1,
    maxLength: 4,
  });
  const path = fc.array(name, { maxLength: 4 });
  const compareNames = (left: readonly string[], right: readonly string[]): number => {
    for (const [at, ours] of left.entries()) {
      const theirs = right[at];
      if (theirs === undefined) return 1;
      if (ours !== theirs) return ours < theirs ? -1 : 1;
    }
    return left.length - right.length;
  };
  fc.assert(
    fc.property(path, path, (left, right) => {
      const [ours, theirs] = [left, right].map((names) => asByteString(`/${names.join("/")}`));
      expect(Math.sign(compareWalkOrder(ours!, theirs!))).toBe(Math.sign(compareNames(left, right)));
    }),
    { numRuns: 1000 },
  );
});
