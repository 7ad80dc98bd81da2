import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { unlessAborted } from "../../src/base/cancel.ts";
import type { DeviceRange } from "../../src/device/block-device.ts";
import { OverlayDevice } from "../../src/device/overlay-device.ts";
import type { OverlayStore } from "../../src/device/overlay-store.ts";
import { openOverlayFile } from "../../src/device/overlay-store-file.ts";
import { MemoryOverlayStore } from "../../src/device/overlay-store-memory.ts";
import { deviceContract, expectBytes, failureOf, patterned } from "../contract/device.ts";
import { ArrayBase, DIGEST, KEY, PAGE, runOnArray, runStep, steps } from "./_overlay-model.ts";

const PAGES = 24;
let directory = "";
let fileCount = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "lambda-img-overlay-"));
});
afterAll(() => rm(directory, { recursive: true }));

function memory(maxPages = PAGES, pageCount = PAGES): MemoryOverlayStore {
  return new MemoryOverlayStore({ sizeBytes: pageCount * PAGE, maxBytes: maxPages * PAGE });
}

function inFile(path: string, maxPages = PAGES): Promise<OverlayStore> {
  const options = { path, key: KEY, diskDigest: DIGEST, sizeBytes: PAGES * PAGE, maxBytes: maxPages * PAGE };
  return openOverlayFile(options).then(({ store }) => store);
}

const newPath = (): string => join(directory, `overlay-${fileCount++}`);

const STORES: readonly [string, (maxPages?: number) => Promise<OverlayStore>][] = [
  ["memory", (maxPages) => Promise.resolve(memory(maxPages))],
  ["a file", (maxPages) => inFile(newPath(), maxPages)],
];

for (const [name, makeStore] of STORES) {
  deviceContract(`an overlay in ${name}`, async () => {
    const base = new ArrayBase(PAGES);
    const device = new OverlayDevice(base, await makeStore());
    return { device, bytes: base.bytes, remove: () => Promise.resolve() };
  });

  describe(`an overlay in ${name}`, () => {
    test("is a plain array, whatever is done to it", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(steps(PAGES), { maxLength: 40 }), async (all) => {
          const base = new ArrayBase(PAGES);
          const model = Uint8Array.from(base.bytes);
          const device = new OverlayDevice(base, await makeStore());
          for (const step of all) {
            await runStep(device, step);
            runOnArray(model, step);
          }
          expectBytes(await device.read(0, device.sizeBytes), model);
          for (const [offset, size] of [
            [1, PAGE],
            [PAGE - 1, 3 * PAGE + 2],
          ] as const) {
            expectBytes(await device.read(offset, size), model.subarray(offset, offset + size));
          }
          expectBytes(base.bytes, new ArrayBase(PAGES).bytes);
          await device.close();
        }),
        { numRuns: name === "memory" ? 200 : 60 },
      );
    });

    test("loses no byte of calls that run at the same time", async () => {
      const part = fc.record({ from: fc.nat(12 * PAGE), size: fc.integer({ min: 1, max: 700 }) });
      await fc.assert(
        fc.asyncProperty(fc.array(part, { maxLength: 60 }), async (parts) => {
          const base = new ArrayBase(PAGES);
          const model = Uint8Array.from(base.bytes);
          const device = new OverlayDevice(base, await makeStore());
          const calls: Promise<unknown>[] = [];
          let at = 0;
          for (const [index, { from, size }] of parts.entries()) {
            // Apart from each other, and so in any order: but mostly in one page.
            at += from % 97;
            const bytes = patterned(size, index);
            if (at + size > device.sizeBytes) break;
            model.set(bytes, at);
            calls.push(device.write(at, bytes), device.read(at, size));
            if (index % 7 === 0) calls.push(device.flush());
            at += size;
          }
          await Promise.all(calls);
          expectBytes(await device.read(0, device.sizeBytes), model);
          await device.close();
        }),
        { numRuns: name === "memory" ? 100 : 40 },
      );
    });

    test("takes as much as its bound and not a page more, and then changes nothing", async () => {
      const base = new ArrayBase(PAGES);
      const store = await makeStore(4);
      const device = new OverlayDevice(base, store);
      expect(store.maxBytes).toBe(4 * PAGE);
      await device.write(0, patterned(2 * PAGE, 1));
      expect(await failureOf(device.write(2 * PAGE, patterned(2 * PAGE + 1, 2)))).toBe("OVERLAY_FULL");
      expect(store.storedBytes).toBe(2 * PAGE);
      expectBytes(await device.read(2 * PAGE, 4 * PAGE), base.bytes.subarray(2 * PAGE, 6 * PAGE));
      await device.write(2 * PAGE, patterned(2 * PAGE, 2));
      expect(store.storedBytes).toBe(4 * PAGE);
      // Pages that it has can be written again; others cannot, however small the part.
      await device.write(0, patterned(4 * PAGE, 3));
      expect(await failureOf(device.write(4 * PAGE, Uint8Array.of(1)))).toBe("OVERLAY_FULL");
      // Zeros need no room, and what becomes zero gives its room back.
      await device.write(4 * PAGE, new Uint8Array(8 * PAGE));
      await device.discard({ offsetBytes: PAGE, sizeBytes: PAGE });
      await device.write(9 * PAGE, patterned(PAGE, 4));
      expect(await failureOf(device.write(PAGE, Uint8Array.of(1)))).toBe("OVERLAY_FULL");
      expectBytes(await device.read(PAGE, PAGE), new Uint8Array(PAGE));
      expectBytes(await device.read(0, PAGE), patterned(4 * PAGE, 3).subarray(0, PAGE));
      expectBytes(await device.read(9 * PAGE, PAGE), patterned(PAGE, 4));
      await device.close();
    });

    test("refuses what too many calls at once would need, and not more of them than it must", async () => {
      const store = await makeStore(8);
      const device = new OverlayDevice(new ArrayBase(PAGES), store);
      const calls = Array.from({ length: PAGES }, (_, page) =>
        device.write(page * PAGE, patterned(PAGE, page)),
      );
      const codes = await Promise.all(calls.map(failureOf));
      expect(codes.filter((code) => code === "no failure")).toHaveLength(8);
      expect(codes.filter((code) => code === "OVERLAY_FULL")).toHaveLength(PAGES - 8);
      expect(store.storedBytes).toBe(8 * PAGE);
      await device.close();
    });
  });
}

test("an overlay in a file is there again when it is opened again", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(steps(PAGES), { maxLength: 15 }), { maxLength: 4 }),
      async (rounds) => {
        const path = newPath();
        const base = new ArrayBase(PAGES);
        const model = Uint8Array.from(base.bytes);
        for (const round of [...rounds, []]) {
          const device = new OverlayDevice(base, await inFile(path));
          expectBytes(await device.read(0, device.sizeBytes), model);
          for (const step of round) {
            await runStep(device, step);
            runOnArray(model, step);
          }
          await device.close();
        }
      },
    ),
    { numRuns: 30 },
  );
});

describe("what was never written", () => {
  test("is read from the disk image at once and without a copy, whatever is written elsewhere", async () => {
    const base = new ArrayBase(PAGES);
    const device = new OverlayDevice(base, memory());
    await device.write(0, patterned(1, 1));
    await device.discard({ offsetBytes: 20 * PAGE, sizeBytes: 4 * PAGE });
    base.asked.length = 0;
    const bytes = await device.read(PAGE + 5, 19 * PAGE - 5);
    expect(base.asked).toEqual([`${19 * PAGE - 5} at ${PAGE + 5}`]);
    expect(bytes.buffer).toBe(base.bytes.buffer);
  });

  test("is not read for whole pages that are written, for zeros, or for pages that are there", async () => {
    const base = new ArrayBase(PAGES);
    const device = new OverlayDevice(base, memory());
    await device.write(PAGE, patterned(3 * PAGE, 1));
    await device.discard({ offsetBytes: 4 * PAGE, sizeBytes: PAGE });
    await device.write(PAGE + 7, patterned(9, 2));
    await device.write(4 * PAGE + 7, patterned(9, 2));
    await device.read(PAGE, 4 * PAGE);
    expect(base.asked).toEqual([]);
    // Of a range with two ends inside of pages, those two pages.
    await device.write(6 * PAGE + 1, patterned(3 * PAGE, 3));
    expect(base.asked).toEqual([`${PAGE} at ${6 * PAGE}`, `${PAGE} at ${9 * PAGE}`]);
  });

  test("fails as the disk image does, and only there", async () => {
    const base = new ArrayBase(PAGES);
    const device = new OverlayDevice(base, memory());
    await device.write(0, patterned(PAGE, 1));
    base.read = () => Promise.reject(new Error("no chunk"));
    await expect(device.read(0, PAGE + 1)).rejects.toThrow("no chunk");
    await expect(device.write(PAGE + 1, patterned(1, 1))).rejects.toThrow("no chunk");
    expectBytes(await device.read(0, PAGE), patterned(PAGE, 1));
    await device.write(PAGE, patterned(PAGE, 2));
    expectBytes(await device.read(PAGE, PAGE), patterned(PAGE, 2));
  });
});

describe("extents", () => {
  const hole = { isZero: true, isHole: true };
  const stored = { isZero: false, isHole: false };

  test("are bytes where pages were written, holes where they are zero, else those of the disk image", async () => {
    const base = Object.assign(new ArrayBase(PAGES), {
      extents: (range: DeviceRange) => Promise.resolve([{ sizeBytes: range.sizeBytes, ...hole }]),
    });
    const device = new OverlayDevice(base, memory());
    await device.write(2 * PAGE, patterned(PAGE, 1));
    await device.write(5 * PAGE, new Uint8Array(PAGE));
    await device.write(6 * PAGE + 1, patterned(1, 1));
    expect(await device.extents({ offsetBytes: 1, sizeBytes: 8 * PAGE })).toEqual([
      { sizeBytes: 2 * PAGE - 1, ...hole },
      { sizeBytes: PAGE, ...stored },
      { sizeBytes: 3 * PAGE, ...hole },
      { sizeBytes: PAGE, ...stored },
      { sizeBytes: PAGE + 1, ...hole },
    ]);
  });

  test("of a disk image that tells nothing of itself are bytes", async () => {
    const device = new OverlayDevice(new ArrayBase(PAGES), memory());
    await device.discard({ offsetBytes: 0, sizeBytes: PAGE });
    expect(await device.extents({ offsetBytes: 0, sizeBytes: 3 * PAGE })).toEqual([
      { sizeBytes: PAGE, ...hole },
      { sizeBytes: 2 * PAGE, ...stored },
    ]);
  });
});

test("only what comes from the disk image is brought nearer", async () => {
  const asked: DeviceRange[] = [];
  const prefetch = (range: DeviceRange): Promise<void> => {
    asked.push(range);
    return Promise.resolve();
  };
  const device = new OverlayDevice(Object.assign(new ArrayBase(PAGES), { prefetch }), memory());
  await device.write(PAGE, patterned(PAGE, 1));
  await device.prefetch({ offsetBytes: 1, sizeBytes: 3 * PAGE });
  expect(asked).toEqual([
    { offsetBytes: 1, sizeBytes: PAGE - 1 },
    { offsetBytes: 2 * PAGE, sizeBytes: PAGE + 1 },
  ]);
});

test("closing waits for calls that are under way", async () => {
  const base = new ArrayBase(PAGES);
  const path = newPath();
  const device = new OverlayDevice(base, await inFile(path));
  const write = device.write(1, patterned(5 * PAGE, 1));
  await Promise.all([device.close(), write]);
  const again = new OverlayDevice(base, await inFile(path));
  expectBytes(await again.read(1, 5 * PAGE), patterned(5 * PAGE, 1));
  await again.close();
  expect(await failureOf(again.write(0, patterned(1, 1)))).toBe("OVERLAY_UNAVAILABLE");
});

test("a call that nobody waits for any more changes nothing, and keeps nobody else waiting", async () => {
  const base = new ArrayBase(PAGES);
  const bytes = base.bytes.slice();
  let isHanging = true;
  const device = new OverlayDevice(
    {
      sizeBytes: base.sizeBytes,
      read: (offset, size, options) =>
        isHanging ? unlessAborted(new Promise(() => undefined), options?.signal) : base.read(offset, size),
    },
    memory(),
  );
  const gone = new AbortController();
  const { signal } = gone;
  const one = Uint8Array.of(1);
  const range = { offsetBytes: 7, sizeBytes: 20 };
  const calls = [
    device.write(5, one, { signal }), // It waits for the disk image, and what follows for it.
    device.write(6, one, { signal }),
    device.writeZeroes(range, { mayDiscard: true, signal }),
    device.discard(range, { signal }),
    device.read(0, PAGE, { signal }),
  ].map((call) => failureOf(call));
  gone.abort();
  expect(await Promise.all(calls)).toEqual(calls.map(() => "CANCELLED"));
  isHanging = false;
  expectBytes(await device.read(0, PAGE), bytes.subarray(0, PAGE));
  await device.write(5, one);
  expect(await device.read(5, 2)).toEqual(Uint8Array.of(1, bytes[6] ?? 0));
});
