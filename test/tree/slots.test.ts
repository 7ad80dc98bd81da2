import { createHash } from "node:crypto";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { coarse, SlotAssigner } from "../../src/tree/slots.ts";
import { naiveSlots } from "./_naive-slots.ts";

interface Named {
  readonly type: LayerEntry["type"];
  readonly path: string;
}

function assign(entries: readonly Named[]): { slots: number[]; files: number; directories: number } {
  const assigner = new SlotAssigner(entries.length);
  for (const [ordinal, { type, path }] of entries.entries())
    assigner.add(ordinal, { type, path: asByteString(path) });
  const { slots, ...counts } = assigner.finish();
  return { slots: [...slots], ...counts };
}

const files = (...paths: readonly string[]): Named[] => paths.map((path) => ({ type: "file", path }));
const directories = (...paths: readonly string[]): Named[] => paths.map((path) => ({ type: "dir", path }));

/** Words of a SHA-256, as the specification has them. */
const drawn = (name: string): number =>
  createHash("sha256").update(name, "latin1").digest().readUInt32LE(0) / 2 ** 32;

/** Names that one entry cuts before at a multiple of `unit`; with 1 those that it does not cut before. */
function namesThatCut(unit: 1 | 16 | 64 | 512, count: number): string[] {
  const chances = { 512: [0, 1 / 8192], 64: [1 / 8192, 1 / 1024], 16: [1 / 1024, 1 / 128], 1: [1 / 128, 1] };
  const [least = 0, most = 0] = chances[unit];
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) {
    const chance = drawn(`n${i}`);
    if (chance >= least && chance < most) names.push(`n${i}`);
  }
  return names;
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
    expect(assign(files("a/1", "b/1", "a/2", "a/3", "b/2"))).toEqual({
      ...{ slots: [0, 3, 1, 2, 4] },
      ...{ files: 5, directories: 0 },
    });
  });

  test("groups by the path as written, without slashes at its end", () => {
    expect(assign(files("d/x/", "d/y", "./d/z", "d/w")).slots).toEqual([0, 1, 3, 2]);
  });

  test("gives directories slots of their own, in the order of the archive, one for each entry", () => {
    const entries = directories("b/", "a/", "b/c/", "a/");
    expect(assign(entries)).toEqual({ slots: [0, 1, 2, 3], files: 0, directories: 4 });
    expect(assign([...files("x"), ...entries, ...files("y")]).slots).toEqual([0, 0, 1, 2, 3, 1]);
  });

  test("gives no slot to hard links, and one to everything else", () => {
    const types = ["symlink", "hardlink", "char", "block", "fifo", "file"] as const;
    const entries = types.map((type, i) => ({ type, path: `d/${i}` }));
    expect(assign(entries)).toEqual({ slots: [0, -1, 1, 2, 3, 4], files: 5, directories: 0 });
  });

  test.each([16, 64, 512] as const)("rounds a run that draws it up to a multiple of %i", (unit) => {
    const [before = "", after = ""] = namesThatCut(1, 2);
    const [cut = ""] = namesThatCut(unit, 1);
    expect(assign(directories(before, cut, after)).slots).toEqual([0, unit, unit + 1]);
    // A directory is drawn for by its path without slashes at its end, files by their directory's with one.
    expect(assign(directories(before, `${cut}//`)).slots).toEqual([0, unit]);
  });

  test("draws for files by their parent and their number", () => {
    // What it draws cuts before a run of two files, but not of one.
    const parent = Array.from({ length: 100_000 }, (_, i) => `p${i}/`).find((name) => {
      const chance = drawn(name);
      return chance >= 1 / 128 && chance < 2 / 128;
    })!;
    expect(assign(files("x", `${parent}a`, "y")).slots).toEqual([0, 2, 1]);
    expect(assign(files("x", `${parent}a`, `${parent}b`)).slots).toEqual([0, 16, 17]);
  });

  test("has generated files behind all others", () => {
    const entries = files("etc/a", "usr/a", "usr/b/__pycache__/c", "usr/b/c", "var/d", "etc/e");
    expect(assign(entries)).toEqual({ slots: [16, 0, 18, 1, 19, 17], files: 20, directories: 0 });
    expect(assign(files("etc/a", "etc/b"))).toEqual({ slots: [0, 1], files: 2, directories: 0 });
    const many = Array.from({ length: 300 }, (_, i) => `x${i}`);
    // coarse(300, 16) is 320.
    expect(assign(files("var/x", ...many)).slots[0]).toBe(320);
  });

  test("does not let paths that were chosen for their digests take many slots each", () => {
    const chosen = namesThatCut(512, 6);
    expect(assign(directories(...chosen)).slots).toEqual([0, 512, 1024, 1025, 1026, 1027]);
    const { directories: count } = assign(directories(...namesThatCut(64, 300)));
    expect(count).toBeLessThanOrEqual(2 * 300 + 1024);
  });

  test("agrees with a naive model on entries of all kinds", () => {
    const name = fc.constantFrom("a", "b", "c/", "d", "etc", "var", "__pycache__", ".", "");
    const number = fc.integer({ min: 0, max: 60 }).map((i) => `n${i}`);
    const path = fc
      .array(fc.oneof(name, number), { minLength: 1, maxLength: 4 })
      .map((names) => names.join("/"));
    const type = fc.constantFrom<LayerEntry["type"]>("file", "file", "dir", "symlink", "hardlink");
    fc.assert(
      fc.property(fc.array(fc.record({ type, path }), { maxLength: 300 }), (entries) => {
        const found = assign(entries);
        expect(found).toEqual(naiveSlots(entries));
        const used = entries.flatMap((entry, i) =>
          entry.type === "hardlink" ? [] : `${entry.type === "dir"} ${found.slots[i]}`,
        );
        expect(new Set(used).size).toBe(used.length);
      }),
    );
  });

  test("agrees with a naive model on a large layer, where cuts of every size come", () => {
    const entries = Array.from({ length: 12_000 }, (_, i): Named[] => [
      { type: "dir", path: `usr/d${i}/` },
      { type: "file", path: `usr/d${i}/f` },
    ]).flat();
    for (let i = 0; i < 3000; i++) entries.push({ type: "file", path: `etc/d${i % 40}/${i}` });
    const found = assign(entries);
    expect(found).toEqual(naiveSlots(entries));
    // Room for cuts: about an eighth.
    expect(found.directories / 12_000).toBeGreaterThan(1.05);
    expect(found.directories / 12_000).toBeLessThan(1.2);
  });

  test("a directory more moves few others", () => {
    const paths = Array.from({ length: 12_000 }, (_, i) => `d${i}`);
    const old = assign(directories(...paths)).slots;
    const now = assign(directories("new", ...paths)).slots.slice(1);
    const moved = paths.filter((_, i) => old[i] !== now[i]).length;
    expect(moved).toBeGreaterThan(0);
    expect(moved).toBeLessThan(1500);
  });
});
