import { expect, test } from "vitest";

import { MemoryOverlayStore } from "../../src/device/overlay-store-memory.ts";
import { expectBytes, failureOf, patterned } from "../contract/device.ts";
import { PAGE } from "./_overlay-model.ts";

// What it does as the store of a device: test/device/overlay-device.test.ts.

test("changes are there when the call returns: nothing waits", () => {
  const store = new MemoryOverlayStore({ sizeBytes: 8 * PAGE, maxBytes: 8 * PAGE });
  const bytes = patterned(2 * PAGE, 1);
  const target = new Uint8Array(2 * PAGE);
  void store.apply([{ firstPage: 3, pageCount: 2, bytes }]);
  void store.read(3, target);
  expectBytes(target, bytes);
});

test.each([
  ["less than the device, in whole pages", 3 * PAGE + 4095, 3],
  ["more than the device, which it never fills", 100 * PAGE, 8],
  ["less than a page, which is nothing", PAGE - 1, 0],
])("its bound may be %s", async (_, maxBytes, pageCount) => {
  const store = new MemoryOverlayStore({ sizeBytes: 8 * PAGE, maxBytes });
  expect(store.maxBytes).toBe(pageCount * PAGE);
  await store.apply([{ firstPage: 0, pageCount, bytes: patterned(pageCount * PAGE, 1) }]);
  expect(store.storedBytes).toBe(pageCount * PAGE);
  const isAll = pageCount === 8;
  const more = [{ firstPage: 7, pageCount: 1, bytes: patterned(PAGE, 1) }];
  expect(await failureOf(store.apply(more))).toBe(isAll ? "no failure" : "OVERLAY_FULL");
});

test("a device of the largest size costs nothing until it is written, and little when all of it is discarded", async () => {
  const sizeBytes = 2032 * 2 ** 30;
  const store = new MemoryOverlayStore({ sizeBytes, maxBytes: sizeBytes });
  const pageCount = sizeBytes / PAGE;
  await store.apply([{ firstPage: 0, pageCount }]);
  expect(store.runAt(5, pageCount)).toEqual({ kind: "zero", firstPage: 5, pageCount: pageCount - 5 });
  await store.apply([{ firstPage: pageCount - 1, pageCount: 1, bytes: patterned(PAGE, 1) }]);
  expect(store.runAt(0, pageCount).pageCount).toBe(pageCount - 1);
  expect(store.storedBytes).toBe(PAGE);
});

test("after it was closed it is of no use", async () => {
  const store = new MemoryOverlayStore({ sizeBytes: 8 * PAGE, maxBytes: 8 * PAGE });
  await store.close();
  await store.close();
  expect(await failureOf(store.apply([{ firstPage: 0, pageCount: 1 }]))).toBe("OVERLAY_UNAVAILABLE");
  expect(await failureOf(store.read(0, new Uint8Array(0)))).toBe("OVERLAY_UNAVAILABLE");
  expect(await failureOf(store.flush())).toBe("OVERLAY_UNAVAILABLE");
});
