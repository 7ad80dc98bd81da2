/**
 * What to drop where there is no more room: LRU-2 (O'Neil, O'Neil and Weikum, "The LRU-K Page Replacement Algorithm",
 * SIGMOD 1993). What was visited once goes before what was visited twice, so that reading much once leaves in place
 * what is read again and again. docs/cache.md, "What is dropped".
 *
 * Three rules:
 * 1. Whatever happens to the keys that were visited last belongs to that visit: it is no second one, and they are not
 *    dropped. (The paper's correlated reference period, counted in visits, for we have no clock here.)
 * 2. Of the others, those visited once go first, the one visited longest ago before all; then those whose visit before
 *    the last is longest ago.
 * 3. Of a key that was dropped the last visit is remembered for a while: when it comes back, that counts.
 */
import { definite } from "./error.ts";

/** Keys of rule 1, at most. */
const RECENT_MAX = 32;
/** No visit: every visit is later. */
const NEVER = 0;

/** How many of the keys visited last belong to rule 1, where there is room for `keysMax`. */
export function recentMaxOf(keysMax: number): number {
  return Math.min(RECENT_MAX, Math.floor(keysMax / 4));
}

/** When something was visited; larger is later. */
export interface Visits {
  readonly last: number;
  /** The visit before the last; 0 where there was none. */
  readonly previous: number;
}

/**
 * The `count` of the entries that go first by the rules; `recentMax` of them are those of rule 1. Of equals the
 * one that comes first in `entries` goes first.
 */
export function lru2Victims<Entry extends Visits>(
  entries: readonly Entry[],
  { count, recentMax }: { readonly count: number; readonly recentMax: number },
): readonly Entry[] {
  const byLast = entries.toSorted((left, right) => left.last - right.last);
  const settled = byLast.slice(0, Math.max(0, byLast.length - recentMax));
  return settled.sort(compareVisits).slice(0, count);
}

/** Rule 2: who goes first comes first. */
function compareVisits(left: Visits, right: Visits): number {
  return left.previous - right.previous || left.last - right.last;
}

/** Keys with a value each, at most `keysMax` of them. Every operation takes O(log n) at most. */
export class Lru2Map<Value> {
  readonly keysMax: number;
  readonly #recentMax: number;
  readonly #entries: Map<string, Entry<Value>> = new Map();
  /** Rule 1, in the order of their visits. */
  readonly #recent: Set<Entry<Value>> = new Set();
  /** Rule 2, visited once, in the order of their visits. */
  readonly #once: Set<Entry<Value>> = new Set();
  readonly #again: EntryHeap<Value> = new EntryHeap();
  /** Rule 3: the last visit of keys that were dropped, in the order of dropping. Twice as many as there is room for. */
  readonly #dropped: Map<string, number> = new Map();
  #clock = NEVER;

  /** `keysMax` is 1 at least. */
  constructor(keysMax: number) {
    this.keysMax = keysMax;
    this.#recentMax = recentMaxOf(keysMax);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** True where the key is there; no visit. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** The value; no visit. */
  peek(key: string): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  /** The value; a visit. */
  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.place !== "recent" || entry.isAhead) this.#visit(entry);
    return entry.value;
  }

  /**
   * Adds a key where it is not there, and drops another if need be; a visit. With `isAhead` it is there before anybody
   * has asked for it: then its first visit is still to come.
   */
  add(key: string, value: Value, { isAhead = false }: { readonly isAhead?: boolean } = {}): void {
    if (this.#entries.has(key)) {
      if (!isAhead) this.get(key);
      return;
    }
    if (this.#entries.size >= this.keysMax) this.#drop();
    const previous = this.#dropped.get(key) ?? NEVER;
    this.#dropped.delete(key);
    const entry: Entry<Value> = {
      key,
      value,
      last: ++this.#clock,
      previous,
      isAhead,
      place: "recent",
      at: 0,
    };
    this.#entries.set(key, entry);
    this.#enter(entry);
  }

  #visit(entry: Entry<Value>): void {
    if (entry.place === "recent") this.#recent.delete(entry);
    else if (entry.place === "once") this.#once.delete(entry);
    else this.#again.remove(entry);
    if (entry.isAhead) entry.isAhead = false;
    else entry.previous = entry.last;
    entry.last = ++this.#clock;
    this.#enter(entry);
  }

  /** Puts a key that has just been visited among the recent ones; the oldest of them settles. */
  #enter(entry: Entry<Value>): void {
    entry.place = "recent";
    this.#recent.add(entry);
    if (this.#recent.size <= this.#recentMax) return;
    const oldest = definite(first(this.#recent), "the set has just been added to");
    this.#recent.delete(oldest);
    oldest.place = oldest.previous === NEVER ? "once" : "again";
    if (oldest.place === "once") this.#once.add(oldest);
    else this.#again.add(oldest);
  }

  #drop(): void {
    const victim = definite(
      first(this.#once) ?? this.#again.first,
      "fewer are recent than there is room for",
    );
    if (victim.place === "once") this.#once.delete(victim);
    else this.#again.remove(victim);
    this.#entries.delete(victim.key);
    const visited = victim.isAhead ? victim.previous : victim.last;
    if (visited === NEVER) return;
    this.#dropped.set(victim.key, visited);
    if (this.#dropped.size <= 2 * this.keysMax) return;
    this.#dropped.delete(definite(first(this.#dropped.keys()), "the map has just been added to"));
  }
}

interface Entry<Value> {
  readonly key: string;
  readonly value: Value;
  last: number;
  previous: number;
  /** It was never visited: `last` is when it was added. */
  isAhead: boolean;
  place: "recent" | "once" | "again";
  /** Its place in the heap, where it is in one. */
  at: number;
}

/** A binary heap of entries, the one with the earliest `previous` first, which knows where each of them is. */
class EntryHeap<Value> {
  readonly #entries: Entry<Value>[] = [];

  get first(): Entry<Value> | undefined {
    return this.#entries[0];
  }

  add(entry: Entry<Value>): void {
    this.#entries.push(entry);
    this.#rise(entry, this.#entries.length - 1);
  }

  remove(entry: Entry<Value>): void {
    const last = definite(this.#entries.pop(), "the entry is in the heap");
    if (last === entry) return;
    // The last takes the free place, from where it may have to go either way.
    this.#rise(last, entry.at);
    this.#sink(last, last.at);
  }

  #rise(entry: Entry<Value>, from: number): void {
    let at = from;
    while (at > 0) {
      const above = this.#at((at - 1) >>> 1);
      if (above.previous <= entry.previous) break;
      this.#put(above, at);
      at = (at - 1) >>> 1;
    }
    this.#put(entry, at);
  }

  #sink(entry: Entry<Value>, from: number): void {
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= this.#entries.length) break;
      const isRightEarlier =
        below + 1 < this.#entries.length && this.#at(below + 1).previous < this.#at(below).previous;
      if (isRightEarlier) below++;
      if (entry.previous <= this.#at(below).previous) break;
      this.#put(this.#at(below), at);
      at = below;
    }
    this.#put(entry, at);
  }

  #at(index: number): Entry<Value> {
    return definite(this.#entries[index], "the index is in the heap");
  }

  #put(entry: Entry<Value>, at: number): void {
    this.#entries[at] = entry;
    entry.at = at;
  }
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}
