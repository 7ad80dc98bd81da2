/** What is left of an overlay after power was lost, the process was killed, or the disk failed. */
import { open } from "node:fs/promises";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { LambdaImgError } from "../../src/base/error.ts";
import { FileMedium } from "../../src/device/_overlay-medium.ts";
import { formatOverlay, openOverlay } from "../../src/device/_overlay-open.ts";
import { OverlayDevice } from "../../src/device/overlay-device.ts";
import type { OverlayStore } from "../../src/device/overlay-store.ts";
import { expectBytes, failureOf, patterned } from "../contract/device.ts";
import { randomOf } from "../support/random.ts";
import { PowerLost, SimulatedDisk } from "./_overlay-disk.ts";
import {
  ArrayBase,
  DIGEST,
  KEY,
  PAGE,
  pageAt,
  pageOfSeed,
  put,
  runOnArray,
  runStep,
  steps,
  type Step,
} from "./_overlay-model.ts";

const PAGES = 16;
const IDENTITY = { key: KEY, diskDigest: DIGEST, sizeBytes: PAGES * PAGE };
const path = "an overlay";

/** Per page, what may be there after a crash: the last flushed content first. */
class Expectation {
  readonly #pages: Uint8Array[][];
  #current: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#current = bytes;
    this.#pages = [];
    this.settle(bytes);
  }

  settle(bytes: Uint8Array): void {
    this.#current = Uint8Array.from(bytes);
    for (let page = 0; page < PAGES; page++) {
      this.#pages[page] = [this.#current.slice(page * PAGE, (page + 1) * PAGE)];
    }
  }

  flushed(): void {
    this.settle(this.#current);
  }

  changed(bytes: Uint8Array): void {
    this.#current = Uint8Array.from(bytes);
    for (const [page, versions] of this.#pages.entries())
      versions.push(bytes.slice(page * PAGE, (page + 1) * PAGE));
  }

  check(found: Uint8Array, mustBe: "current" | "any"): void {
    for (const [page, versions] of this.#pages.entries()) {
      const bytes = found.subarray(page * PAGE, (page + 1) * PAGE);
      const isThere = versions
        .slice(mustBe === "current" ? -2 : 0)
        .some((version) => Buffer.compare(version, bytes) === 0);
      expect(isThere ? "as written" : `page ${page} was never so since the last flush`).toBe("as written");
    }
  }
}

/** Steps until power is lost after so many calls; `chance` of what was not synced is there afterwards. */
interface Round {
  readonly all: readonly Step[];
  readonly crashAfter: number;
  readonly reopenCrashAfter: number | undefined;
  readonly chance: number;
  readonly seed: number;
}

describe("after a crash at any moment", () => {
  const round: fc.Arbitrary<Round> = fc.record({
    all: fc.array(steps(PAGES), { minLength: 1, maxLength: 12 }),
    crashAfter: fc.nat(40),
    reopenCrashAfter: fc.option(fc.nat(6), { nil: undefined }),
    chance: fc.constantFrom(0, 0.1, 0.5, 0.9, 1),
    seed: fc.nat(),
  });

  /**
   * The mark of a new generation is lost, and the generation is begun again: a record that was appended to it the first time
   * must not come back, where the checkpoint of the second time has nothing to write over it.
   */
  const generationBegunTwice: Round[] = [
    {
      all: [{ kind: "write", offset: 0, bytes: patterned(PAGE, 3) }],
      ...{ crashAfter: 1, reopenCrashAfter: undefined, chance: 0.5, seed: 936_853_810 },
    },
    {
      all: [{ kind: "discard", offset: 0, size: PAGE }],
      ...{ crashAfter: 0, reopenCrashAfter: undefined, chance: 0.9, seed: 1_074_244_840 },
    },
    {
      all: [{ kind: "write", offset: 0, bytes: Uint8Array.of(1) }],
      ...{ crashAfter: 0, reopenCrashAfter: undefined, chance: 0, seed: 0 },
    },
  ];

  test("each page is as it was flushed, or as it was written since", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 4 }), async (rounds) => {
        let disk = new SimulatedDisk();
        await formatOverlay(disk, IDENTITY, { path, maxBytes: PAGES * PAGE });
        const base = new ArrayBase(PAGES);
        const expected = new Expectation(base.bytes);
        const model = Uint8Array.from(base.bytes);
        for (const { all, crashAfter, reopenCrashAfter, chance, seed } of rounds) {
          const random = randomOf(seed);
          const device = new OverlayDevice(base, await openOverlay(disk, IDENTITY, path));
          disk.callsLeft = crashAfter;
          let isLost = false;
          for (const step of all) {
            runOnArray(model, step);
            if (step.kind !== "flush") expected.changed(model);
            isLost = await runStep(device, step).then(
              () => false,
              (error: unknown) => wasLost(error),
            );
            if (isLost) break;
            if (step.kind === "flush") expected.flushed();
          }
          disk = disk.afterLoss(chance, random);
          // It may be lost again while the next process repairs what it finds.
          if (reopenCrashAfter !== undefined) {
            disk.callsLeft = reopenCrashAfter;
            await openOverlay(disk, IDENTITY, path).catch(wasLost);
            disk = disk.afterLoss(chance, random);
          }
          const again = new OverlayDevice(base, await openOverlay(disk, IDENTITY, path));
          const found = await again.read(0, again.sizeBytes);
          // A killed process leaves all that it wrote in the kernel's hands: only the call under way may be missing.
          expected.check(found, chance === 1 ? "current" : "any");
          model.set(found);
          expected.settle(found);
        }
      }),
      { numRuns: 200, examples: [[generationBegunTwice]] },
    );
  });

  test("also while the log goes to its other area", async () => {
    // Every second page becomes zero, so that records are long; the log has to begin again after 4 MiB.
    const pageCount = 8192;
    const identity = { ...IDENTITY, sizeBytes: pageCount * PAGE };
    const everySecond = Array.from({ length: pageCount / 2 - 8 }, (_, index) => ({
      firstPage: 16 + 2 * index,
      pageCount: 1,
    }));
    const disk = new SimulatedDisk();
    await formatOverlay(disk, identity, { path, maxBytes: 64 * PAGE });
    const store = await openOverlay(disk, identity, path);
    await store.apply(put(1, 1));
    for (let count = 0; count < 128; count++) await store.apply(everySecond);
    await store.apply(put(2, 2));
    await store.flush();
    const start = disk.afterLoss(1, randomOf(0));
    let generationsSeen = 0;
    for (let crashAfter = 0; crashAfter < 16; crashAfter++) {
      const before = start.afterLoss(1, randomOf(0));
      const running = await openOverlay(before, identity, path);
      before.callsLeft = crashAfter;
      const change = [...put(1, 7), ...put(3, 3).map((at) => ({ ...at, firstPage: 3 })), ...everySecond];
      const isLost = await running.apply(change).then(() => false, wasLost);
      if (!isLost) generationsSeen++;
      const after = await openOverlay(before.afterLoss(0.5, randomOf(crashAfter)), identity, path);
      const found = await pageAt(after, 1);
      expect([pageOfSeed(1), pageOfSeed(7)].some((bytes) => Buffer.compare(bytes, found) === 0)).toBe(true);
      expectBytes(await pageAt(after, 2), pageOfSeed(2));
      expect(after.runAt(16, 18)).toEqual({ kind: "zero", firstPage: 16, pageCount: 1 });
      await after.close();
    }
    expect(generationsSeen).toBeGreaterThan(0);
    expect(generationsSeen).toBeLessThan(16);
  });

  test("also where processes were killed one after another, and then power is lost", async () => {
    for (let crashAfter = 0; crashAfter < 8; crashAfter++) {
      for (let seed = 0; seed < 20; seed++) {
        const disk = new SimulatedDisk();
        await formatOverlay(disk, IDENTITY, { path, maxBytes: PAGES * PAGE });
        const first = await openOverlay(disk, IDENTITY, path);
        await first.apply(put(0, 1));
        await first.flush();
        await first.apply(put(1, 2));
        // Each finds what the one before it wrote but did not sync, and begins a generation in the other area.
        const second = await openOverlay(disk, IDENTITY, path);
        await second.apply(put(2, 3));
        disk.callsLeft = crashAfter;
        await openOverlay(disk, IDENTITY, path).catch(wasLost);
        const after = await openOverlay(disk.afterLoss(0.5, randomOf(seed)), IDENTITY, path);
        expectBytes(await pageAt(after, 0), pageOfSeed(1));
      }
    }
  });

  function wasLost(error: unknown): boolean {
    if (error instanceof PowerLost) return true;
    // What comes after the loss, in the same process, fails with this.
    if (error instanceof Error && error.cause instanceof PowerLost) return true;
    throw error;
  }
});

describe("a failure of the disk", () => {
  async function failing(call: number): Promise<{ disk: SimulatedDisk; store: OverlayStore }> {
    const disk = new SimulatedDisk();
    await formatOverlay(disk, IDENTITY, { path, maxBytes: PAGES * PAGE });
    const store = await openOverlay(disk, IDENTITY, path);
    await store.apply(put(0, 1));
    disk.failure = new Error("the disk is on fire");
    disk.callsLeft = call;
    return { disk, store };
  }

  test.each([
    ["the page", 0],
    ["the record", 1],
  ])("while it takes %s leaves what was, and what comes after goes on", async (_, call) => {
    const { disk, store } = await failing(call);
    await expect(store.apply(put(0, 2))).rejects.toThrow("on fire");
    expectBytes(await pageAt(store, 0), pageOfSeed(1));
    await store.apply(put(1, 3));
    await store.apply(put(0, 4));
    await store.close();
    const again = await openOverlay(disk, IDENTITY, path);
    expectBytes(await pageAt(again, 0), pageOfSeed(4));
    expectBytes(await pageAt(again, 1), pageOfSeed(3));
  });

  test.each([
    ["a sync", 0],
    ["a mark", 1],
  ])("while it takes %s is final: nothing is promised after it", async (_, call) => {
    const { store } = await failing(call);
    await expect(store.flush()).rejects.toThrow("on fire");
    expect(await failureOf(store.flush())).toBe("OVERLAY_UNAVAILABLE");
    expect(await failureOf(store.apply(put(1, 1)))).toBe("OVERLAY_UNAVAILABLE");
    expectBytes(await pageAt(store, 0), pageOfSeed(1));
    await store.close();
    expect(await failureOf(pageAt(store, 0))).toBe("OVERLAY_UNAVAILABLE");
  });

  test("that is full when the first flush comes keeps nothing from lasting", async () => {
    const disk = new SimulatedDisk();
    const pages = new Set<number>();
    let isFull = false;
    const write = disk.write.bind(disk);
    disk.write = async (bytes, offset) => {
      for (let page = Math.floor(offset / PAGE); page * PAGE < offset + bytes.length; page++) {
        if (isFull && !pages.has(page)) throw new LambdaImgError("OVERLAY_FULL", "the disk is full");
        pages.add(page);
      }
      await write(bytes, offset);
    };
    await formatOverlay(disk, IDENTITY, { path, maxBytes: PAGES * PAGE });
    const store = await openOverlay(disk, IDENTITY, path);
    await store.apply(put(0, 1));
    isFull = true;
    expect(await failureOf(store.apply(put(1, 2)))).toBe("OVERLAY_FULL");
    await store.flush();
    await store.apply([{ firstPage: 2, pageCount: 1 }]);
    await store.close();
    const again = await openOverlay(
      disk.afterLoss(0, () => 0),
      IDENTITY,
      path,
    );
    expectBytes(await pageAt(again, 0), pageOfSeed(1));
  });

  test("that has no room is a full overlay", async () => {
    const file = await open("/dev/full", "w");
    await expect(file.write(new Uint8Array(1))).rejects.toThrow("ENOSPC");
    await file.close();
    const medium = new FileMedium(await open("/dev/full", "w"), path);
    expect(await failureOf(medium.write(new Uint8Array(1), 0))).toBe("OVERLAY_FULL");
    await medium.close();
  });
});

test("writes without a flush between them find room, though slots are free only after one", async () => {
  const disk = new SimulatedDisk();
  await formatOverlay(disk, IDENTITY, { path, maxBytes: 2 * PAGE });
  const store = await openOverlay(disk, IDENTITY, path);
  await store.apply([{ firstPage: 0, pageCount: 2, bytes: patterned(2 * PAGE, 0) }]);
  const calls: Promise<void>[] = [];
  for (let round = 1; round <= 1400; round++) {
    calls.push(store.apply(put(round % 2, round)));
    if (round % 2 === 0) await Promise.all(calls.splice(0));
  }
  expectBytes(await pageAt(store, 0), pageOfSeed(1400));
  expectBytes(await pageAt(store, 1), pageOfSeed(1399));
  await store.close();
});
