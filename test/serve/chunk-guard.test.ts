import { expect, test } from "vitest";

import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import {
  ChunkGuard,
  type ChunkCounts,
  type ChunkEvent,
  type ChunkGuardOptions,
} from "../../src/serve/chunk-guard.ts";
import { TestTimers } from "../nbd/serving.ts";

const BYTES = new Uint8Array(1);
const TIMEOUT = 30_000;
const IDLE: ChunkCounts = { loaded: 0, failed: 0, failing: 0, running: 0, waiting: 0 };

function gone(): LambdaImgError {
  return new LambdaImgError("CHUNK_NOT_FOUND", "gone");
}

function makeGuard(options: Partial<ChunkGuardOptions> = {}): {
  guard: ChunkGuard;
  events: ChunkEvent[];
  timers: TestTimers;
} {
  const events: ChunkEvent[] = [];
  const timers = new TestTimers();
  const guard = new ChunkGuard({
    timeoutMs: TIMEOUT,
    onError: "eio",
    onEvent: (event) => events.push(event),
    timers,
    ...options,
  });
  return { guard, events, timers };
}

/** A load that ends when the test says so. */
function openEnd(): { load: () => Promise<Uint8Array>; end: () => void; begun: () => number } {
  let count = 0;
  let end = (): void => undefined;
  const result = new Promise<Uint8Array>((resolve) => {
    end = () => {
      resolve(BYTES);
    };
  });
  const load = (): Promise<Uint8Array> => {
    count++;
    return result;
  };
  return {
    load,
    end: () => {
      end();
    },
    begun: () => count,
  };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "no failure";
  } catch (error) {
    return isLambdaImgError(error) ? error.code : "no error of ours";
  }
}

/** Lets everything run that needs no timer. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("a load that works is passed through, and leaves no timer behind", async () => {
  const { guard, events, timers } = makeGuard();
  expect(await guard.forImage("a")(1, () => Promise.resolve(BYTES))).toBe(BYTES);
  expect([events, timers.delays, guard.counts]).toEqual([[], [], { ...IDLE, loaded: 1 }]);
  expect(guard.isWaitingForStore).toBe(false);
});

test("a chunk that fails again and again is told of once, and once more when it is well", async () => {
  const { guard, events } = makeGuard();
  const load = guard.forImage("a");
  const error = gone();
  for (let turn = 0; turn < 3; turn++) {
    expect(await codeOf(load(7, () => Promise.reject(error)))).toBe("CHUNK_NOT_FOUND");
  }
  expect(events).toEqual([{ kind: "failed", image: "a", chunkIndex: 7, error }]);
  expect(guard.counts).toEqual({ ...IDLE, failed: 3, failing: 1 });
  await load(7, () => Promise.resolve(BYTES));
  await load(7, () => Promise.resolve(BYTES));
  expect(events.slice(1)).toEqual([{ kind: "recovered", image: "a", chunkIndex: 7 }]);
  expect(guard.counts).toEqual({ ...IDLE, loaded: 2, failed: 3 });
});

test("the same chunk index of two images is two chunks", async () => {
  const { guard, events } = makeGuard();
  for (const image of ["a", "b"]) await codeOf(guard.forImage(image)(0, () => Promise.reject(gone())));
  expect(events.map(({ image }) => image)).toEqual(["a", "b"]);
});

test("a load that hangs fails at the deadline, is not begun again, and serves who waits when it ends", async () => {
  const { guard, timers } = makeGuard();
  const hanging = openEnd();
  const first = codeOf(guard.forImage("a")(0, hanging.load));
  timers.fire(TIMEOUT);
  expect(await first).toBe("STORE_UNAVAILABLE");
  expect(guard.isWaitingForStore).toBe(true);
  const second = guard.forImage("a")(0, hanging.load);
  await settle();
  expect(hanging.begun()).toBe(1);
  hanging.end();
  expect(await second).toBe(BYTES);
  expect(guard.isWaitingForStore).toBe(false);
});

test("no more than 16 loads run at a time; those that wait keep their deadline and their turn", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const loads = Array.from({ length: 18 }, openEnd);
  const results = loads.map((each, index) => codeOf(load(index, each.load)));
  await settle();
  expect(loads.map((each) => each.begun())).toEqual([...Array.from({ length: 16 }, () => 1), 0, 0]);
  expect(guard.counts).toEqual({ ...IDLE, running: 16, waiting: 2 });
  loads[3]!.end();
  await settle();
  expect(loads.slice(16).map((each) => each.begun())).toEqual([1, 0]);
  expect(guard.counts).toEqual({ ...IDLE, loaded: 1, running: 16, waiting: 1 });
  timers.fire(TIMEOUT);
  expect(await results[17]).toBe("STORE_UNAVAILABLE");
  // What the store has not answered is still under way, though nobody waits for it.
  expect(guard.counts).toMatchObject({ running: 16, waiting: 0 });
  for (const each of loads) each.end();
  await settle();
  expect(guard.counts).toMatchObject({ running: 0, waiting: 0 });
  expect(loads[17]!.begun()).toBe(0);
});

test("with block, a load is tried until it works, with pauses that grow to ten seconds", async () => {
  const { guard, events, timers } = makeGuard({ onError: "block" });
  let isRepaired = false;
  const reading = guard.forImage("a")(2, () =>
    isRepaired ? Promise.resolve(BYTES) : Promise.reject(gone()),
  );
  const pauses: number[] = [];
  for (let turn = 0; turn < 9; turn++) {
    await settle();
    const [pause] = timers.delays;
    pauses.push(pause!);
    timers.fire(pause!);
  }
  expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  isRepaired = true;
  await settle();
  timers.fire(10_000);
  expect(await reading).toBe(BYTES);
  expect(events.map(({ kind }) => kind)).toEqual(["failed", "recovered"]);
});

test("with block, a bug of ours is not tried again", async () => {
  const { guard } = makeGuard({ onError: "block" });
  await expect(guard.forImage("a")(0, () => Promise.reject(new Error("ours")))).rejects.toThrow("ours");
});

test("a stop ends what waits to try again at once, and what waits for the store after the time of grace", async () => {
  const { guard, timers } = makeGuard({ onError: "block" });
  const hanging = codeOf(guard.forImage("a")(0, openEnd().load));
  const pausing = codeOf(guard.forImage("a")(1, () => Promise.reject(gone())));
  await settle();
  const endGrace = guard.stop({ graceMs: 5 });
  expect(await pausing).toBe("CANCELLED");
  expect(await codeOf(guard.forImage("a")(2, () => Promise.reject(gone())))).toBe("CHUNK_NOT_FOUND");
  timers.fire(5);
  expect(await hanging).toBe("CANCELLED");
  endGrace();
  expect(timers.delays).toEqual([]);
});

test("after the time of grace nothing is begun any more, such as the other chunks of a long read", async () => {
  const { guard, timers } = makeGuard();
  guard.stop({ graceMs: 5 });
  timers.fire(5);
  const late = openEnd();
  const code = codeOf(guard.forImage("a")(0, late.load));
  await settle();
  expect([late.begun(), timers.delays, guard.counts]).toEqual([0, [], IDLE]);
  expect(await code).toBe("CANCELLED");
});

test("of more than 10000 failing chunks the rest is not named", async () => {
  const { guard, events } = makeGuard();
  const load = guard.forImage("a");
  for (let index = 0; index < 10_002; index++) await codeOf(load(index, () => Promise.reject(gone())));
  expect(events).toHaveLength(10_001);
  expect(events.at(-1)?.kind).toBe("failing-many");
});

test("loads that nobody waits for begin one after another, or in steps up to sixteen", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const ahead = Array.from({ length: 20 }, openEnd);
  const results = ahead.map((each, index) => codeOf(load(index, each.load, "ahead")));
  const begun = async (): Promise<number> => {
    await settle();
    return ahead.filter((each) => each.begun() === 1).length;
  };
  expect(await begun()).toBe(1);
  ahead[0]!.end();
  expect([await begun(), timers.delays]).toEqual([2, [2]]);
  for (let count = 3; count <= 17; count++) {
    timers.fire(2);
    expect(await begun()).toBe(count);
  }
  timers.fire(2);
  expect(await begun()).toBe(17);
  ahead[2]!.end();
  expect(await begun()).toBe(18);
  for (const [at, each] of ahead.slice(0, 17).entries()) if (at !== 2) each.end();
  expect(await begun()).toBe(18);
  ahead[17]!.end();
  expect(await begun()).toBe(19);
  ahead[18]!.end();
  await settle();
  ahead[19]!.end();
  expect(new Set(await Promise.all(results))).toEqual(new Set(["no failure"]));
});

test("they begin only when no load that somebody waits for has begun or ended just now", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const [read, other] = [openEnd(), openEnd()];
  const ahead = [openEnd(), openEnd(), openEnd()];
  const begun = async (): Promise<readonly number[]> => {
    await settle();
    return ahead.map((each) => each.begun());
  };
  const first = load(100, read.load, "read");
  const results = ahead.map((each, index) => load(index, each.load, "ahead"));
  expect(await begun()).toEqual([0, 0, 0]);
  timers.fire(2);
  expect(await begun()).toEqual([1, 0, 0]);
  const second = load(101, other.load, "read");
  ahead[0]!.end();
  expect([await begun(), timers.delays.filter((delayMs) => delayMs === 2)]).toEqual([[1, 0, 0], [2]]);
  timers.fire(2);
  expect(await begun()).toEqual([1, 1, 0]);
  read.end();
  ahead[1]!.end();
  expect(await begun()).toEqual([1, 1, 0]);
  timers.fire(2);
  expect(await begun()).toEqual([1, 1, 1]);
  ahead[2]!.end();
  other.end();
  expect(await Promise.all([first, second, ...results])).toEqual([BYTES, BYTES, BYTES, BYTES, BYTES]);
});

test("they take no turn of a load that somebody waits for", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const ahead = Array.from({ length: 16 }, openEnd);
  for (const [index, each] of ahead.entries()) void load(index, each.load, "ahead");
  for (let turn = 1; turn < ahead.length; turn++) {
    timers.fire(2);
    await settle();
  }
  const reads = Array.from({ length: 17 }, openEnd);
  for (const [index, each] of reads.entries()) void load(100 + index, each.load, "read");
  await settle();
  expect(ahead.map((each) => each.begun())).toEqual(ahead.map(() => 1));
  expect(reads.filter((each) => each.begun() === 1).length).toBe(16);
  // What else is to be read ahead is out of the way, and does not look like a queue.
  void load(50, openEnd().load, "ahead");
  await settle();
  expect(guard.counts).toEqual({ ...IDLE, running: 32, waiting: 1 });
});

test("a read shares a load that nobody waited for, with a deadline of its own", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const hanging = openEnd();
  const ahead = load(3, hanging.load, "ahead");
  const first = codeOf(load(3, hanging.load, "read"));
  await settle();
  timers.fire(TIMEOUT);
  expect(await first).toBe("STORE_UNAVAILABLE");
  expect(guard.isWaitingForStore).toBe(true);
  const second = load(3, hanging.load, "read");
  hanging.end();
  expect([await second, await ahead, hanging.begun()]).toEqual([BYTES, BYTES, 1]);
  expect(guard.isWaitingForStore).toBe(false);
});

test("where a load that nobody waited for fails, nobody is told, and a read that shared it tries anew", async () => {
  const { guard, events } = makeGuard();
  const load = guard.forImage("a");
  let fail = (): void => undefined;
  const failing = new Promise<Uint8Array>((_, reject) => {
    fail = () => {
      reject(gone());
    };
  });
  const ahead = codeOf(load(1, () => failing, "ahead"));
  const read = load(1, () => Promise.resolve(BYTES), "read");
  fail();
  expect([await ahead, await read]).toEqual(["CHUNK_NOT_FOUND", BYTES]);
  expect([events, guard.counts]).toEqual([[], { ...IDLE, loaded: 1 }]);
});

test("a stop can wait for what the store still has to give, but no longer than its time of grace", async () => {
  const { guard, timers } = makeGuard();
  await guard.drain();
  const load = guard.forImage("a");
  const [ahead, read, hanging] = [openEnd(), openEnd(), openEnd()];
  const results = [load(0, ahead.load, "ahead"), load(1, read.load, "read")];
  const failing = codeOf(load(2, hanging.load, "ahead"));
  timers.fire(2);
  await settle();
  guard.stop({ graceMs: 50 });
  let isDrained = 0;
  const drained = [guard.drain(), guard.drain()].map((each) => each.then(() => isDrained++));
  ahead.end();
  read.end();
  await Promise.all(results);
  await settle();
  expect([isDrained, guard.isWaitingForStore]).toEqual([0, true]);
  timers.fire(50);
  await Promise.all(drained);
  await guard.drain();
  expect(guard.isWaitingForStore).toBe(true);
  hanging.end();
  expect([await failing, guard.isWaitingForStore]).toEqual(["no failure", false]);
});

test("what nobody waits for shares a load that somebody waits for, and does not outlast a stop", async () => {
  const { guard, timers } = makeGuard();
  const load = guard.forImage("a");
  const [shared, other] = [openEnd(), openEnd()];
  const read = load(0, shared.load, "read");
  const ahead = load(0, shared.load, "ahead");
  timers.fire(2);
  await settle();
  const next = load(1, other.load, "ahead");
  const waiting = codeOf(load(2, other.load, "ahead"));
  timers.fire(2);
  await settle();
  expect([shared.begun(), other.begun()]).toEqual([1, 1]);
  const endGrace = guard.stop({ graceMs: 50 });
  expect(await waiting).toBe("CANCELLED");
  expect(await codeOf(load(3, other.load, "ahead"))).toBe("CANCELLED");
  shared.end();
  other.end();
  expect(await Promise.all([read, ahead, next])).toEqual([BYTES, BYTES, BYTES]);
  endGrace();
  expect(timers.delays).toEqual([]);
});

test("a chunk that nobody waits for any more is not tried again, be it in a try or in a pause", async () => {
  const { guard, timers } = makeGuard({ onError: "block" });
  const load = guard.forImage("a");
  const [trying, pausing] = [new AbortController(), new AbortController()];
  const hanging = openEnd();
  const codes = [
    codeOf(load(0, hanging.load, "read", trying.signal)),
    codeOf(load(1, () => Promise.reject(gone()), "read", pausing.signal)),
  ];
  await settle();
  expect(timers.delays).toEqual([TIMEOUT, 100]);
  trying.abort();
  pausing.abort();
  expect(await Promise.all(codes)).toEqual(["CANCELLED", "CANCELLED"]);
  await settle();
  expect([timers.delays, guard.counts]).toEqual([[], { ...IDLE, failed: 1, failing: 1, running: 1 }]);
  // What hangs is still not begun a second time.
  const next = load(0, hanging.load);
  hanging.end();
  expect([await next, hanging.begun()]).toEqual([BYTES, 1]);
});
