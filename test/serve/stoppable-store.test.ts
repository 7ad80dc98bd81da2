import { expect, test } from "vitest";

import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import type { ChunkName } from "../../src/chunk/chunk.ts";
import type { CustomerId } from "../../src/manifest/customer-id.ts";
import type { ManifestId } from "../../src/manifest/manifest-id.ts";
import { StoppableStore, type ServedStore } from "../../src/serve/stoppable-store.ts";
import type { RecordPlace } from "../../src/store/store.ts";
import { TestTimers } from "../nbd/serving.ts";

const GRACE = 5000;
const CUSTOMER = "customer" as CustomerId;
const ID = "sha256:0" as ManifestId;
const PLACE = { kind: "traces", customerId: CUSTOMER, name: "n" } as RecordPlace;
const BYTES = new Uint8Array(3);

/** A store all of whose answers come when `answer` resolves, and that notes what it was asked. */
function makeStore(answer: Promise<unknown>): { inner: ServedStore; asked: string[]; timers: TestTimers } {
  const asked: string[] = [];
  const ask =
    (name: string) =>
    (...args: unknown[]): Promise<never> => {
      asked.push([name, ...args.map((arg) => (arg === PLACE ? "place" : String(arg)))].join(" "));
      return answer as Promise<never>;
    };
  const inner = {
    getChunk: ask("chunk"),
    getManifest: ask("manifest"),
    getRef: ask("ref"),
    listRefs: ask("refs"),
    getRecord: ask("record"),
    putRecord: ask("put"),
    close: ask("close"),
  };
  return { inner, asked, timers: new TestTimers() };
}

function askAll(store: StoppableStore): Promise<unknown>[] {
  return [
    store.getManifest(CUSTOMER, ID),
    store.getRef(CUSTOMER, "app"),
    store.listRefs(CUSTOMER),
    store.getRecord(PLACE),
    store.putRecord(PLACE, BYTES),
  ];
}

async function codesOf(calls: readonly Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(calls);
  return settled.map((each) =>
    each.status === "rejected" && isLambdaImgError(each.reason) ? each.reason.code : each.status,
  );
}

test("every call goes to the store as it is, and its answer or failure comes back", async () => {
  const { inner, asked, timers } = makeStore(Promise.resolve("an answer"));
  const store = new StoppableStore(inner, timers);
  const calls = [store.getChunk("c" as ChunkName), ...askAll(store)];
  expect(store.isWaitingForStore).toBe(true);
  expect(await Promise.all(calls)).toEqual(calls.map(() => "an answer"));
  await store.close();
  const told = ["chunk c", "manifest customer sha256:0", "ref customer app", "refs customer", "record place"];
  expect(asked).toEqual([...told, "put place 0,0,0", "close"]);
  expect([store.isWaitingForStore, timers.delays]).toEqual([false, []]);
  const failing = makeStore(Promise.reject(new LambdaImgError("STORE_FORBIDDEN", "no")));
  const other = new StoppableStore(failing.inner, timers);
  expect(await codesOf([...askAll(other), other.close()])).toEqual(Array(6).fill("STORE_FORBIDDEN"));
  expect(other.isWaitingForStore).toBe(false);
});

test("what the store has not answered when the time of grace is over is given up, and nothing is asked after it", async () => {
  let answer = (): void => undefined;
  const { inner, asked, timers } = makeStore(new Promise<void>((resolve) => (answer = resolve)));
  const store = new StoppableStore(inner, timers);
  const calls = askAll(store);
  store.stop({ graceMs: GRACE });
  store.stop({ graceMs: GRACE });
  expect(timers.delays).toEqual([GRACE]);
  timers.fire(GRACE);
  expect(await codesOf(calls)).toEqual(Array(5).fill("CANCELLED"));
  expect(await codesOf(askAll(store))).toEqual(Array(5).fill("CANCELLED"));
  await store.close();
  expect([asked.length, store.isWaitingForStore]).toEqual([5, true]);
  answer();
  await new Promise((resolve) => setImmediate(resolve));
  expect(store.isWaitingForStore).toBe(false);
});

test("a store that hangs only when it is closed is not waited for longer than that", async () => {
  const { inner, timers } = makeStore(new Promise(() => undefined));
  const store = new StoppableStore(inner, timers);
  store.stop({ graceMs: GRACE });
  const closed = store.close();
  timers.fire(GRACE);
  await closed;
  expect(store.isWaitingForStore).toBe(true);
});

test("what is answered in the time of grace counts", async () => {
  const { inner, timers } = makeStore(Promise.resolve("in time"));
  const store = new StoppableStore(inner, timers);
  store.stop({ graceMs: GRACE });
  expect(await store.getRef(CUSTOMER, "app")).toBe("in time");
  await store.close();
  expect(timers.delays).toEqual([]);
});
