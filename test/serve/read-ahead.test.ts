import { expect, test } from "vitest";

import { ReadAhead, type ReadAheadOptions } from "../../src/serve/read-ahead.ts";

/** Every second chunk is stored. */
const TABLE = {
  diskChunkCount: 2000,
  indexes: Uint32Array.from({ length: 1000 }, (_, position) => 2 * position),
  names: new Uint8Array(32 * 1000),
};

/** Loads that end when the test says so. */
class Loads {
  readonly begun: number[] = [];
  readonly #ends: (() => void)[] = [];
  isFailing = false;

  load = (chunkIndex: number): Promise<void> => {
    this.begun.push(chunkIndex);
    return new Promise((resolve, reject) => {
      this.#ends.push(() => {
        if (this.isFailing) reject(new Error("it cannot be read"));
        else resolve();
      });
    });
  };

  /** Ends the load that has run longest, and lets the next begin. */
  async end(): Promise<void> {
    this.#ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Ends loads until no more begin. */
  async endAll(): Promise<readonly number[]> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#ends.length > 0) await this.end();
    return this.begun;
  }
}

function makeReadAhead(options: Partial<ReadAheadOptions> = {}): { readAhead: ReadAhead; loads: Loads } {
  const loads = new Loads();
  const all = { table: TABLE, load: loads.load, reachChunks: 100, primeChunks: 0, ...options };
  return { readAhead: new ReadAhead(all), loads };
}

const TRACE = [40, 0, 2, 100, ...Array.from({ length: 16 }, (_, index) => 4 + 2 * index)];

test("a trace is loaded in its order, sixteen chunks at a time", async () => {
  const { readAhead, loads } = makeReadAhead();
  readAhead.replay(TRACE);
  expect(loads.begun).toEqual(TRACE.slice(0, 16));
  await loads.end();
  expect(loads.begun).toEqual(TRACE.slice(0, 17));
  expect(await loads.endAll()).toEqual(TRACE);
});

test("what cannot be loaded is left to who reads it", async () => {
  const { readAhead, loads } = makeReadAhead();
  loads.isFailing = true;
  readAhead.replay(TRACE);
  expect(await loads.endAll()).toEqual(TRACE);
});

test("no more is ahead of what is read than there is room for", async () => {
  const { readAhead, loads } = makeReadAhead({ reachChunks: 3 });
  readAhead.replay(TRACE);
  expect(await loads.endAll()).toEqual(TRACE.slice(0, 3));
  readAhead.visited(0);
  expect(await loads.endAll()).toEqual(TRACE.slice(0, 5));
  readAhead.visited(40);
  readAhead.visited(1998);
  expect(await loads.endAll()).toEqual(TRACE.slice(0, 5));
});

test("where reads overtake the replay, it goes on in front of them", async () => {
  const { readAhead, loads } = makeReadAhead({ reachChunks: 2 });
  readAhead.replay(TRACE);
  readAhead.visited(4);
  expect(await loads.endAll()).toEqual([40, 0, 6, 8]);
});

test("the stored chunks that follow what is read come before the trace", async () => {
  const { readAhead, loads } = makeReadAhead({ primeChunks: 2 });
  readAhead.replay(TRACE);
  readAhead.visited(500);
  readAhead.visited(1996);
  await loads.endAll();
  expect(loads.begun).toEqual([...TRACE.slice(0, 16), 502, 504, 1998, ...TRACE.slice(16)]);
});

test("of many wishes the oldest are forgotten", async () => {
  const { readAhead, loads } = makeReadAhead({ primeChunks: 64 });
  for (const chunkIndex of [0, 200, 400, 600, 800]) readAhead.visited(chunkIndex);
  const begun = await loads.endAll();
  expect(begun.length).toBe(256);
  expect(begun.slice(0, 2)).toEqual([202, 204]);
  expect(begun.at(-1)).toBe(800 + 128);
});

test("without a trace and with nothing to prime nothing is loaded", () => {
  const { readAhead, loads } = makeReadAhead();
  readAhead.visited(0);
  expect(loads.begun).toEqual([]);
});

test("after a stop nothing begins; another trace may follow", async () => {
  const { readAhead, loads } = makeReadAhead({ primeChunks: 1 });
  readAhead.replay(TRACE);
  readAhead.visited(900);
  readAhead.stop();
  readAhead.visited(904);
  expect(await loads.endAll()).toEqual(TRACE.slice(0, 16));
  readAhead.replay([20, 40]);
  expect(await loads.endAll()).toEqual([...TRACE.slice(0, 16), 20, 40]);
});

test("after a stop and a start, chunks that follow what is read are loaded again", async () => {
  const { readAhead, loads } = makeReadAhead({ primeChunks: 1 });
  readAhead.stop();
  readAhead.visited(900);
  readAhead.start();
  readAhead.visited(904);
  expect(await loads.endAll()).toEqual([906]);
});
