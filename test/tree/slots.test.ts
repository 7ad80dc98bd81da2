import { createHash } from "node:crypto";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { coarse, inodeRoom, SlotAssigner } from "../../src/tree/slots.ts";
import { naiveSlots, type NaiveCuts } from "./_naive-slots.ts";

interface Named {
  readonly type: LayerEntry["type"];
  readonly path: string;
}

function assign(entries: readonly Named[]): { slots: number[]; files: number; directories: number } {
  const assigner = new SlotAssigner();
  for (const { type, path } of entries) assigner.add({ type, path: asByteString(path) });
  const { slots, ...counts } = assigner.finish();
  return { slots: [...slots], ...counts };
}

const files = (...paths: readonly string[]): Named[] => paths.map((path) => ({ type: "file", path }));
const directories = (...paths: readonly string[]): Named[] => paths.map((path) => ({ type: "dir", path }));

/** Words of a SHA-256, as the specification has them. */
const drawn = (name: string): number =>
  createHash("sha256").update(name, "latin1").digest().readUInt32LE(0) / 2 ** 32;

/** What the word of a digest is below, as a part of 2^32, where one entry is cut before. */
const CHANCES = {
  directories: { 64: [0, 1 / 1024], 16: [1 / 1024, 1 / 256], 8: [1 / 256, 1 / 64], 1: [1 / 64, 1] },
  files: {
    512: [0, 1 / 16384],
    64: [1 / 16384, 1 / 1024],
    16: [1 / 1024, 1 / 256],
    8: [1 / 256, 1 / 128],
    1: [1 / 128, 1],
  },
} as const;

/** Names for which what is drawn lies within these bounds; those of directories of files end in a slash. */
function namesThatDraw([least, most]: readonly [number, number], count: number, end = ""): string[] {
  const names: string[] = [];
  for (let i = 0; names.length < count; i++) {
    const chance = drawn(`n${i}${end}`);
    if (chance >= least && chance < most) names.push(`n${i}${end}`);
  }
  return names;
}

const NO_CUT = namesThatDraw(CHANCES.directories[1], 3);
const NO_FILE_CUT = namesThatDraw(CHANCES.files[1], 3, "/");

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

describe("inodeRoom", () => {
  test.each([
    [0, 0],
    [1, 16],
    [16, 16],
    [17, 32],
    [255, 256],
    [257, 272],
    [511, 512],
    [513, 544],
    [1024, 1024],
    [1025, 1088],
    [1100, 1152],
    [40_000, 40_960],
  ])("of %i is %i", (count, room) => {
    expect(inodeRoom(count)).toBe(room);
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

  test.each([8, 16, 64] as const)("rounds a directory that draws it up to a multiple of %i", (unit) => {
    const [before = "", after = ""] = NO_CUT;
    const [cut = ""] = namesThatDraw(CHANCES.directories[unit], 1);
    expect(assign(directories(before, cut, after)).slots).toEqual([0, unit, unit + 1]);
    // It is drawn for by its path without slashes at its end.
    expect(assign(directories(before, `${cut}//`)).slots).toEqual([0, unit]);
  });

  test.each([8, 16, 64, 512] as const)(
    "rounds a run of files that draws it up to a multiple of %i",
    (unit) => {
      const [before = "", after = ""] = NO_FILE_CUT;
      const [cut = ""] = namesThatDraw(CHANCES.files[unit], 1, "/");
      // It is drawn for by their parent's path with the slash at its end.
      expect(assign(files(`${before}a`, `${cut}a`, `${after}a`)).slots).toEqual([0, unit, unit + 1]);
    },
  );

  test("never rounds directories up to 512", () => {
    const [cut = ""] = namesThatDraw([0, 1 / 16384], 1);
    expect(assign(directories(NO_CUT[0]!, cut)).slots).toEqual([0, 64]);
  });

  test("draws for files by their number, too", () => {
    // What it draws cuts before a run of two files, but not of one.
    const [parent = ""] = namesThatDraw([1 / 128, 2 / 128], 1, "/");
    expect(assign(files("x", `${parent}a`, "y")).slots).toEqual([0, 2, 1]);
    expect(assign(files("x", `${parent}a`, `${parent}b`)).slots).toEqual([0, 8, 9]);
  });

  test("has generated files behind all others", () => {
    const entries = files("etc/a", "usr/a", "usr/b/__pycache__/c", "usr/b/c", "var/d", "etc/e");
    expect(assign(entries)).toEqual({ slots: [16, 0, 18, 1, 19, 17], files: 20, directories: 0 });
    expect(assign(files("etc/a", "etc/b"))).toEqual({ slots: [0, 1], files: 2, directories: 0 });
    const many = Array.from({ length: 1030 }, (_, i) => `x${i}`);
    // room(1030) is 1088.
    expect(assign(files("var/x", ...many)).slots[0]).toBe(1088);
  });

  test("does not let paths that were chosen for their digests take many slots each", () => {
    const chosen = namesThatDraw(CHANCES.files[512], 4, "/").map((parent) => `${parent}f`);
    // 1536 would be more than 2 * 3 + 1024.
    expect(assign(files(...chosen)).slots).toEqual([0, 512, 1024, 1025]);
    const [last = ""] = namesThatDraw(CHANCES.files[64], 1, "/");
    const some = Array.from({ length: 32 }, (_, i) => `n/${i}`);
    // 1088 is 2 * 32 + 1024 where 32 entries are before, and more where 31 are.
    for (const [count, slot] of [
      [29, 1088],
      [28, 1025 + 28],
    ] as const) {
      const before = [...chosen.slice(0, 3), ...some.slice(0, count)];
      expect(assign(files(...before, `${last}f`)).slots.at(-1)).toBe(slot);
    }
    const { directories: count } = assign(directories(...namesThatDraw(CHANCES.directories[64], 300)));
    expect(count).toBeLessThanOrEqual(2 * 300 + 1024);
  });

  test("agrees with a naive model on entries of all kinds, with cuts of every size", () => {
    const kinds = Object.entries(CHANCES).flatMap(([row, chances]) =>
      Object.values(chances).flatMap((bounds) => namesThatDraw(bounds, 3, row === "files" ? "/" : "")),
    );
    const name = fc.constantFrom("a", "b", "c/", "d", "etc", "var", "__pycache__", ".", "");
    const number = fc.integer({ min: 0, max: 60 }).map((i) => `n${i}`);
    const path = fc
      .array(fc.oneof(name, number), { minLength: 1, maxLength: 4 })
      .map((names) => names.join("/"));
    const chosen = fc.tuple(fc.constantFrom(...kinds), number).map(([kind, file]) => ({
      ...(kind.endsWith("/")
        ? { type: "file" as const, path: `${kind}${file}` }
        : { type: "dir" as const, path: kind }),
    }));
    const type = fc.constantFrom<LayerEntry["type"]>("file", "file", "dir", "symlink", "hardlink");
    const entry = fc.oneof(fc.record({ type, path }), chosen);
    const cuts: NaiveCuts = { files: new Set(), directories: new Set() };
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 300, size: "max" }), (entries) => {
        const found = assign(entries);
        expect(found).toEqual(naiveSlots(entries, cuts));
        const used = entries.flatMap(({ type: kind }, i) =>
          kind === "hardlink" ? [] : `${kind === "dir" ? kind : "file"} ${found.slots[i]}`,
        );
        expect(new Set(used).size).toBe(used.length);
      }),
    );
    expect([cuts.files, cuts.directories]).toEqual([new Set([8, 16, 64, 512]), new Set([8, 16, 64])]);
  });

  test("agrees with a naive model on a large layer, where cuts of every size come", () => {
    const entries = Array.from({ length: 30_000 }, (_, i): Named[] => [
      { type: "dir", path: `usr/d${i}/` },
      { type: "file", path: `usr/d${i}/f` },
    ]).flat();
    for (let i = 0; i < 3000; i++) entries.push({ type: "file", path: `etc/d${i % 40}/${i}` });
    const cuts: NaiveCuts = { files: new Set(), directories: new Set() };
    const found = assign(entries);
    expect(found).toEqual(naiveSlots(entries, cuts));
    expect([cuts.files, cuts.directories]).toEqual([new Set([8, 16, 64, 512]), new Set([8, 16, 64])]);
    // Room for cuts: about an eighth.
    expect(found.directories / 30_000).toBeGreaterThan(1.05);
    expect(found.directories / 30_000).toBeLessThan(1.2);
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
