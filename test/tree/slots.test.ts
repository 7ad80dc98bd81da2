import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { coarse, SlotAssigner, type SlotRun } from "../../src/tree/slots.ts";

/** The slots of these paths, but for those that are not of the class. */
function assignSlots(
  paths: readonly string[],
  runUnit: number,
  isMember: (path: string) => boolean = () => true,
): SlotRun {
  const assigner = new SlotAssigner(paths.length, runUnit);
  for (const [ordinal, path] of paths.entries())
    if (isMember(path)) assigner.add(ordinal, asByteString(path));
  return assigner.finish();
}

describe("coarse", () => {
  test.each([
    [0, 4, 0],
    [1, 4, 4],
    [4, 4, 4],
    [5, 4, 8],
    [9, 1, 9],
    [15, 1, 15],
    [16, 1, 16],
    [17, 1, 18],
    [100, 1, 104],
    [127, 1, 128],
    [128, 16, 128],
    [129, 16, 144],
  ])("rounds %i with unit %i to %i", (count, unit, rounded) => {
    expect(coarse(count, unit)).toBe(rounded);
  });

  test("adds at most an eighth or one unit less one", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000_000 }), fc.constantFrom(1, 4, 8, 16), (count, unit) => {
        const rounded = coarse(count, unit);
        expect(rounded).toBeGreaterThanOrEqual(count);
        expect(rounded - count).toBeLessThan(Math.max(unit, count / 8 + 1));
        expect(rounded % unit).toBe(0);
      }),
    );
  });
});

describe("SlotAssigner", () => {
  test("gives the files of one directory neighbouring slots, in the order of the archive", () => {
    const { slots } = assignSlots(["a/1", "b/1", "a/2", "a/3", "b/2"], 4);
    const [a1 = 0, b1 = 0, a2, a3, b2] = slots;
    expect([a2, a3]).toEqual([a1 + 1, a1 + 2]);
    expect(b2).toBe(b1 + 1);
    expect(b1).toBeGreaterThanOrEqual(a1 + 4);
  });

  test("groups by the path as written, without slashes at its end", () => {
    const { slots } = assignSlots(["d/x/", "d/y", "./d/z"], 4);
    expect(slots[1]).toBe((slots[0] ?? 0) + 1);
    expect(slots[2]).toBeGreaterThanOrEqual(4);
  });

  test("gives no slot to other entries", () => {
    const { slots, count } = assignSlots(["a", "b", "c"], 1, (path) => path !== "b");
    expect(slots[1]).toBe(-1);
    expect([...slots].filter((slot) => slot >= 0)).toHaveLength(2);
    expect(count).toBeGreaterThanOrEqual(2);
  });

  test("never gives a slot twice, and counts beyond all of them", () => {
    const name = fc.constantFrom("a", "b", "c/", "d");
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join("/"));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 60 }), fc.constantFrom(1, 4), (paths, unit) => {
        const { slots, count } = assignSlots(paths, unit);
        expect(new Set(slots).size).toBe(paths.length);
        for (const slot of slots) expect(slot).toBeLessThan(count);
      }),
    );
  });

  test("a file more in a directory with room moves nothing", () => {
    const before = ["a/1", "a/2", "b/1", "c/1"];
    const after = ["a/1", "a/2", "a/new", "b/1", "c/1"];
    const old = assignSlots(before, 4).slots;
    const now = assignSlots(after, 4).slots;
    expect(before.map((_, i) => old[i])).toEqual(before.map((path) => now[after.indexOf(path)]));
  });

  test("a directory more moves what follows only up to the next cut", () => {
    const directories = Array.from({ length: 4000 }, (_, i) => `d${i}/f`);
    const old = assignSlots(directories, 4).slots;
    const now = assignSlots(["new/f", ...directories], 4).slots.slice(1);
    const moved = directories.filter((_, i) => old[i] !== now[i]).length;
    // Each run's room is 4 slots, so a cut comes about every 256 of these runs.
    expect(moved).toBeGreaterThan(0);
    expect(moved).toBeLessThan(1000);
  });
});
