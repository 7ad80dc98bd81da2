/**
 * A start whose chunks come from a store that takes 20 ms for each, in a time that only this test moves: with and without
 * a trace, and with one that is of no use. The numbers of docs/cache.md, "Prefetch", are from here: to see them,
 * SHOW=1 npx vitest run test/simulate
 */
import { expect, test } from "vitest";

import { CHUNK_BYTES, type ChunkName } from "../../src/chunk/chunk.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { OpenChunks } from "../../src/device/open-chunks.ts";
import { ChunkGuard } from "../../src/serve/chunk-guard.ts";
import { ReadAhead } from "../../src/serve/read-ahead.ts";
import { makeChunkDisk } from "../support/chunk-disk.ts";

const CHUNK_COUNT = 64;
const STORE_MS = 20;
/** What the start does between two reads. */
const WORK_MS = 2;

/** Time that goes on when nothing else is left to do. */
class VirtualTime {
  nowMs = 0;
  readonly #events: { readonly atMs: number; readonly resolve: () => void }[] = [];

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#events.push({ atMs: this.nowMs + ms, resolve });
    });
  }

  async runUntil(end: Promise<unknown>): Promise<void> {
    const state = { isDone: false };
    void end.then(() => (state.isDone = true));
    for (;;) {
      for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
      if (state.isDone) return;
      this.#events.sort((left, right) => left.atMs - right.atMs);
      const next = this.#events.shift();
      if (next === undefined) throw new Error("nothing is left to wait for");
      this.nowMs = next.atMs;
      next.resolve();
    }
  }
}

interface Start {
  readonly totalMs: number;
  readonly longestReadMs: number;
}

const ALL = Array.from({ length: CHUNK_COUNT }, (_, index) => index);
const DISK = makeChunkDisk(CHUNK_COUNT, ALL);
/** Half of the chunks, in an order of their own, one of them after another. */
const READS = ALL.filter((index) => index % 2 === 0).map((index) => (index * 21) % CHUNK_COUNT);
const OTHERS = ALL.filter((index) => !READS.includes(index));

async function start(trace: readonly number[], primeChunks = 0, reads = READS): Promise<Start> {
  const time = new VirtualTime();
  const store = {
    getChunk: async (name: ChunkName): Promise<Uint8Array> => {
      await time.wait(STORE_MS);
      return DISK.store.getChunk(name);
    },
  };
  const guard = new ChunkGuard({
    timeoutMs: 1e6,
    onError: "eio",
    onEvent: () => undefined,
    timers: {
      start: (delayMs, onEnd) => {
        let isOff = false;
        void time.wait(delayMs).then(() => {
          if (!isOff) onEnd();
        });
        return () => (isOff = true);
      },
    },
  });
  const openChunks = new OpenChunks({ maxBytes: CHUNK_COUNT * CHUNK_BYTES });
  const device = new ImageDevice(store, DISK.content, {
    openChunks,
    guardLoad: guard.forImage("image"),
    onVisit: (chunkIndex) => {
      readAhead.visited(chunkIndex);
    },
  });
  const load = (chunkIndex: number): Promise<void> => device.readAhead(chunkIndex);
  const readAhead = new ReadAhead({ table: DISK.content, load, reachChunks: CHUNK_COUNT, primeChunks });
  readAhead.replay(trace);
  let longestReadMs = 0;
  const reading = (async () => {
    for (const chunkIndex of reads) {
      const beganMs = time.nowMs;
      await device.read(chunkIndex * CHUNK_BYTES, 4096);
      longestReadMs = Math.max(longestReadMs, time.nowMs - beganMs);
      await time.wait(WORK_MS);
    }
  })();
  await time.runUntil(reading);
  return { totalMs: time.nowMs, longestReadMs };
}

function show(text: string, { totalMs, longestReadMs }: Start): void {
  if (process.env["SHOW"] !== "1") return;
  process.stderr.write(`${text}: ${totalMs} ms in all, the longest read ${longestReadMs} ms\n`);
}

test("a trace makes a start shorter, and one that is of no use makes it no longer", async () => {
  const without = await start([]);
  const replayed = await start(READS);
  const useless = await start(OTHERS);
  show("32 chunks, without a trace", without);
  show("32 chunks, with a trace", replayed);
  show("32 chunks, with a trace of 32 others", useless);
  expect(without).toEqual({ totalMs: 32 * (STORE_MS + WORK_MS), longestReadMs: STORE_MS });
  expect(replayed.totalMs).toBeLessThan(without.totalMs / 3);
  expect(replayed.longestReadMs).toBeLessThanOrEqual(STORE_MS);
  expect(useless).toEqual(without);
});

test("priming makes reads that follow each other shorter, and others no longer", async () => {
  const inOrder = await start([], 0, ALL);
  const primed = await start([], 4, ALL);
  const scattered = await start([], 4, READS);
  show("64 chunks in order", inOrder);
  show("64 chunks in order, --prime 4", primed);
  show("32 scattered chunks, --prime 4", scattered);
  expect(primed.totalMs).toBeLessThan(inOrder.totalMs / 2);
  expect(scattered.totalMs).toBeLessThanOrEqual(READS.length * (STORE_MS + WORK_MS));
});
