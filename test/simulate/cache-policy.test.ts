/**
 * What a scan does to the chunks that are read again and again: LRU-2, as the tiers have it, beside plain LRU. No clock,
 * no disk; chance comes from a seed. The numbers of docs/cache.md, "What is dropped", are from here: to see them,
 * SHOW=1 npx vitest run test/simulate
 */
import { describe, expect, test } from "vitest";

import { Lru2Map, lru2Victims, recentMaxOf } from "../../src/base/lru-k.ts";
import { randomBelow } from "../support/random.ts";

/** A cache of keys, as a tier uses it. */
interface Policy {
  has(key: string): boolean;
  /** Reads the key, and adds it where it is not there. */
  read(key: string): boolean;
}

/** Of the memory tier. */
class Lru2 implements Policy {
  readonly #map: Lru2Map<true>;

  constructor(keysMax: number) {
    this.#map = new Lru2Map(keysMax);
  }

  has(key: string): boolean {
    return this.#map.has(key);
  }

  read(key: string): boolean {
    const isHit = this.#map.get(key) !== undefined;
    this.#map.add(key, true);
    return isHit;
  }
}

/** Of one set of the disk tier: it makes room for a sixteenth at a time, and its marks remember. */
class SetLru2 implements Policy {
  readonly #keysMax: number;
  readonly #there = new Map<string, { key: string; last: number; previous: number }>();
  readonly #seen = new Map<string, number>();
  #now = 0;

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  has(key: string): boolean {
    return this.#there.has(key);
  }

  read(key: string): boolean {
    const found = this.#there.get(key);
    const previous = found?.last ?? this.#seen.get(key) ?? 0;
    this.#there.set(key, { key, last: ++this.#now, previous });
    this.#seen.delete(key);
    if (this.#there.size > this.#keysMax) this.#shrink();
    return found !== undefined;
  }

  #shrink(): void {
    const target = this.#keysMax - Math.floor(this.#keysMax / 16);
    const count = this.#there.size - target;
    const recentMax = recentMaxOf(this.#keysMax);
    for (const { key, last } of lru2Victims([...this.#there.values()], { count, recentMax })) {
      this.#there.delete(key);
      this.#seen.set(key, last);
    }
    while (this.#seen.size > this.#keysMax) this.#seen.delete([...this.#seen.keys()][0]!);
  }
}

class Lru implements Policy {
  readonly #keysMax: number;
  readonly #there = new Set<string>();

  constructor(keysMax: number) {
    this.#keysMax = keysMax;
  }

  has(key: string): boolean {
    return this.#there.has(key);
  }

  read(key: string): boolean {
    const isHit = this.#there.delete(key);
    this.#there.add(key);
    if (this.#there.size > this.#keysMax) this.#there.delete([...this.#there][0]!);
    return isHit;
  }
}

const KEYS_MAX = 512;
const HOT = Array.from({ length: 384 }, (_, index) => `hot ${index}`);
const SCAN_COUNT = 10_000;
/** A chunk is read in pieces: 128 KiB at a time. */
const PIECES = 4;

/** The disk is asked once: what is read in pieces stays in memory meanwhile. */
function readInPieces(policy: Policy, key: string): void {
  for (let piece = 0; piece < (policy instanceof SetLru2 ? 1 : PIECES); piece++) policy.read(key);
}

function warmUp(policy: Policy, below: (bound: number) => number): void {
  for (const key of [...HOT, ...HOT]) policy.read(key);
  for (let turn = 0; turn < 4 * HOT.length; turn++) policy.read(HOT[below(HOT.length)]!);
}

function percent(part: number, whole: number): number {
  return Math.round((1000 * part) / whole) / 10;
}

function show(text: string, numbers: Readonly<Record<string, number>>): void {
  if (process.env["SHOW"] !== "1") return;
  const columns = Object.entries(numbers).map(([name, number]) => `${name} ${number} %`);
  process.stderr.write(`${text}: ${columns.join(", ")}\n`);
}

/** The same of every policy, with the same chance. */
function ofEach(measure: (policy: Policy, below: (bound: number) => number) => number): {
  readonly memory: number;
  readonly disk: number;
  readonly lru: number;
} {
  const of = (policy: Policy): number => measure(policy, randomBelow(5081));
  return { memory: of(new Lru2(KEYS_MAX)), disk: of(new SetLru2(KEYS_MAX)), lru: of(new Lru(KEYS_MAX)) };
}

describe("512 chunks of room, 384 of which are read again and again:", () => {
  test("ten thousand chunks that are read once leave them in place; under LRU none stays", () => {
    const kept = ofEach((policy, below) => {
      warmUp(policy, below);
      for (let index = 0; index < SCAN_COUNT; index++) readInPieces(policy, `scan ${index}`);
      return percent(HOT.filter((key) => policy.has(key)).length, HOT.length);
    });
    show("of the hot chunks there are after the scan", kept);
    expect(kept).toEqual({ memory: 100, disk: 100, lru: 0 });
  });

  test("with one read of them for every ten of the scan, they are found", () => {
    const hits = ofEach((policy, below) => {
      warmUp(policy, below);
      let count = 0;
      for (let index = 0; index < SCAN_COUNT; index++) {
        readInPieces(policy, `scan ${index}`);
        if (index % 10 === 0 && policy.read(HOT[below(HOT.length)]!)) count++;
      }
      return percent(count, SCAN_COUNT / 10);
    });
    show("hits of the hot chunks during the scan", hits);
    expect(hits.memory).toBeGreaterThan(99);
    expect(hits.disk).toBeGreaterThan(95);
    expect(hits.lru).toBeLessThan(25);
  });

  test("when others become hot, these are kept from their second use on", () => {
    const hits = ofEach((policy, below) => {
      warmUp(policy, below);
      const others = HOT.map((key) => `other ${key}`);
      for (let turn = 0; turn < 8 * others.length; turn++) policy.read(others[below(others.length)]!);
      return percent(others.filter((key) => policy.read(key)).length, others.length);
    });
    show("hits of the new hot chunks after eight reads of each", hits);
    expect(Math.min(hits.memory, hits.disk)).toBeGreaterThan(95);
  });
});
