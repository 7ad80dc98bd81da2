import { describe, expect, test } from "vitest";

import { forEachLimited } from "../../src/base/pool.ts";

/** Work that ends when the test says so. */
function gates(): {
  work: (item: number) => Promise<void>;
  started: number[];
  open: (item: number, error?: Error) => void;
} {
  const started: number[] = [];
  const waiting = new Map<number, (error?: Error) => void>();
  return {
    started,
    work: (item) =>
      new Promise((resolve, reject) => {
        started.push(item);
        waiting.set(item, (error) => {
          if (error === undefined) resolve();
          else reject(error);
        });
      }),
    open: (item, error) => waiting.get(item)?.(error),
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("forEachLimited", () => {
  test("runs no more than the limit, and goes on when one is done, whichever it is", async () => {
    const { work, started, open } = gates();
    const done = forEachLimited([1, 2, 3, 4], 2, work);
    await turn();
    expect(started).toEqual([1, 2]);
    open(2);
    await turn();
    expect(started).toEqual([1, 2, 3]);
    open(1);
    open(3);
    await turn();
    expect(started).toEqual([1, 2, 3, 4]);
    open(4);
    await done;
  });

  test("takes async iterables, and no more of them than it works on", async () => {
    let given = 0;
    async function* items(): AsyncGenerator<number> {
      for (; given < 5; given++) {
        await Promise.resolve();
        yield given;
      }
    }
    const { work, started, open } = gates();
    const done = forEachLimited(items(), 1, work);
    await turn();
    expect([started, given]).toEqual([[0], 0]);
    for (let i = 0; i < 5; i++) {
      open(i);
      await turn();
    }
    await done;
    expect(started).toEqual([0, 1, 2, 3, 4]);
  });

  test("waits for what is under way after a failure, starts nothing more, and throws the first one", async () => {
    const { work, started, open } = gates();
    let isDone = false;
    const done = forEachLimited([1, 2, 3, 4], 2, work).finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    await turn();
    open(1, new Error("first"));
    await turn();
    expect([isDone, started]).toEqual([false, [1, 2]]);
    open(2, new Error("second"));
    await expect(done).rejects.toThrow("first");
    expect(started).toEqual([1, 2]);
  });

  test("a failure ends the iterable that gives the items", async () => {
    let isClosed = false;
    function* items(): Generator<number> {
      try {
        for (let i = 0; ; i++) yield i;
      } finally {
        isClosed = true;
      }
    }
    await expect(forEachLimited(items(), 3, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(isClosed).toBe(true);
  });

  test("a failure is thrown whatever it is, undefined too; nothing to do is done at once", async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that others do so is the point
    const bad = forEachLimited([1], 1, () => Promise.reject(undefined));
    await expect(bad).rejects.toBeUndefined();
    await forEachLimited([], 1, () => Promise.reject(new Error("never")));
  });
});

test("a failure of the items waits for what is under way, too", async () => {
  let isDone = false;
  const items = async function* (): AsyncGenerator<number> {
    yield 1;
    await Promise.resolve();
    throw new Error("no more");
  };
  const work = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    isDone = true;
  };
  await expect(forEachLimited(items(), 2, work)).rejects.toThrow("no more");
  expect(isDone).toBe(true);
});
