import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { Lru2Map, lru2Victims, recentMaxOf } from "../../src/base/lru-k.ts";

/** The three rules in the words of the header, over a list of all that ever happened; slow, and without a structure. */
class NaiveLru2 {
  readonly #keysMax: number;
  /** Visits that count, by key, the latest at the end; `ahead` stands for one that nobody asked for. */
  readonly #visits = new Map<string, number[]>();
  readonly #ahead = new Set<string>();
  #dropped: { key: string; last: number }[] = [];
  #now = 0;

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  keys(): string[] {
    return [...this.#visits.keys()].toSorted((left, right) => (left < right ? -1 : 1));
  }

  get(key: string): boolean {
    const visits = this.#visits.get(key);
    if (visits === undefined) return false;
    if (this.#ahead.delete(key)) {
      visits.pop();
      visits.push(++this.#now);
    } else if (!this.#recent().includes(key)) visits.push(++this.#now);
    return true;
  }

  add(key: string, isAhead: boolean): void {
    if (this.#visits.has(key)) {
      if (!isAhead) this.get(key);
      return;
    }
    if (this.#visits.size === this.#keysMax) this.#drop();
    const before = this.#dropped.filter((dropped) => dropped.key === key).map(({ last }) => last);
    this.#dropped = this.#dropped.filter((dropped) => dropped.key !== key);
    this.#visits.set(key, [...before, ++this.#now]);
    if (isAhead) this.#ahead.add(key);
  }

  #last = (key: string): number => this.#visits.get(key)!.at(-1)!;
  #previous = (key: string): number => this.#visits.get(key)!.at(-2) ?? 0;

  #recent(): string[] {
    const byLast = this.keys().toSorted((left, right) => this.#last(right) - this.#last(left));
    return byLast.slice(0, recentMaxOf(this.#keysMax));
  }

  #drop(): void {
    const recent = this.#recent();
    const settled = this.keys().filter((key) => !recent.includes(key));
    const [victim] = settled.toSorted(
      (left, right) => this.#previous(left) - this.#previous(right) || this.#last(left) - this.#last(right),
    );
    const visited = this.#ahead.delete(victim!) ? this.#previous(victim!) : this.#last(victim!);
    this.#visits.delete(victim!);
    if (visited > 0) this.#dropped.push({ key: victim!, last: visited });
    if (this.#dropped.length > 2 * this.#keysMax) this.#dropped.shift();
  }
}

type Step = readonly [kind: "get" | "add" | "ahead", key: string];

describe("a map that drops by LRU-2", () => {
  test("does what the rules say, whatever happens to it", () => {
    const key = fc.nat(40).map(String);
    const step = fc.tuple(fc.constantFrom("get", "add", "ahead"), key) as fc.Arbitrary<Step>;
    // As a reader does it: whatever is not there is added.
    const read = key.map((each): readonly Step[] => [
      ["get", each],
      ["add", each],
    ]);
    const steps = fc.array(
      fc.oneof(
        step.map((each) => [each]),
        read,
      ),
      { maxLength: 400, size: "max" },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), steps, (keysMax, groups) => {
        const map = new Lru2Map<string>(keysMax);
        const naive = new NaiveLru2(keysMax);
        for (const [kind, each] of groups.flat()) {
          if (kind === "get") expect(map.get(each)).toBe(naive.get(each) ? `of ${each}` : undefined);
          else {
            map.add(each, `of ${each}`, { isAhead: kind === "ahead" });
            naive.add(each, kind === "ahead");
          }
          expect(map.size).toBeLessThanOrEqual(keysMax);
        }
        const there = Array.from({ length: 41 }, (_, index) => String(index)).filter((each) => map.has(each));
        expect(there.toSorted((left, right) => (left < right ? -1 : 1))).toEqual(naive.keys());
      }),
      { numRuns: 300 },
    );
  });

  test("does not take one long visit for two", () => {
    const map = new Lru2Map<number>(40);
    for (let turn = 0; turn < 5; turn++) map.add("read in pieces", 0);
    map.add("read twice", 0);
    for (let index = 0; index < 20; index++) map.add(`between ${index}`, 0);
    map.get("read twice");
    for (let index = 0; index < 200; index++) map.add(`scan ${index}`, 0);
    expect([map.has("read in pieces"), map.has("read twice")]).toEqual([false, true]);
  });

  test("remembers of a key that it was there", () => {
    const map = new Lru2Map<number>(8);
    map.add("back", 0);
    for (let index = 0; index < 12; index++) map.add(`a ${index}`, 0);
    expect(map.has("back")).toBe(false);
    map.add("back", 0);
    for (let index = 0; index < 100; index++) map.add(`b ${index}`, 0);
    expect(map.has("back")).toBe(true);
  });

  test("does not take what was brought ahead for visited, until it is", () => {
    const map = new Lru2Map<number>(8);
    map.add("ahead, and read once", 0, { isAhead: true });
    for (let index = 0; index < 3; index++) map.add(`a ${index}`, 0);
    map.get("ahead, and read once");
    for (let index = 0; index < 12; index++) map.add(`b ${index}`, 0);
    expect(map.has("ahead, and read once")).toBe(false);
  });

  test("with room for one key holds the last", () => {
    const map = new Lru2Map<number>(1);
    map.add("a", 1);
    map.add("b", 2);
    expect([map.get("a"), map.get("b"), map.size]).toEqual([undefined, 2, 1]);
  });
});

describe("of things with two times each", () => {
  const named = (name: string, previous: number, last: number) => ({ name, previous, last });
  const ENTRIES = [
    named("twice, long ago", 1, 4),
    named("once, long ago", 0, 2),
    named("once", 0, 3),
    named("twice", 5, 6),
    named("just now", 0, 7),
  ];

  test.each([
    [1, 1, ["once, long ago"]],
    [3, 1, ["once, long ago", "once", "twice, long ago"]],
    [9, 1, ["once, long ago", "once", "twice, long ago", "twice"]],
    [9, 0, ["once, long ago", "once", "just now", "twice, long ago", "twice"]],
    [9, 5, []],
    [0, 1, []],
  ])("%d go first where %d are recent", (count, recentMax, expected) => {
    expect(lru2Victims(ENTRIES, { count, recentMax }).map(({ name }) => name)).toEqual(expected);
  });

  test("the order is that of the map", () => {
    const reads = fc.array(fc.nat(30).map(String), { minLength: 40, maxLength: 200, size: "max" });
    fc.assert(
      fc.property(reads, (keys) => {
        const map = new Lru2Map<number>(16);
        const recentMax = recentMaxOf(16);
        const resident = new Map<string, { key: string; last: number; previous: number }>();
        const dropped = new Map<string, number>();
        let now = 0;
        for (const key of keys) {
          map.add(key, 0);
          const found = resident.get(key);
          const isRecent =
            found !== undefined &&
            [...resident.values()].filter(({ last }) => last > found.last).length < recentMax;
          if (isRecent) continue;
          if (found === undefined && resident.size === 16) {
            const [victim] = lru2Victims([...resident.values()], { count: 1, recentMax });
            resident.delete(victim!.key);
            dropped.set(victim!.key, victim!.last);
          }
          resident.set(key, { key, last: ++now, previous: found?.last ?? dropped.get(key) ?? 0 });
        }
        for (const key of resident.keys()) expect(map.has(key)).toBe(true);
      }),
    );
  });
});
