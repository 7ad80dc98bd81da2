/** What is left of an overlay when power is lost under many calls at once, also while its log goes to its other area. */
import { expect, test } from "vitest";

import { formatOverlay, openOverlay } from "../../src/device/_overlay-open.ts";
import { randomOf } from "../support/random.ts";
import { PowerLost, SimulatedDisk } from "./_overlay-disk.ts";
import { DIGEST, KEY, PAGE, pageAt } from "./_overlay-model.ts";

/** Pages that calls are about; the others only make a log long. */
const BUSY = 24;
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 12);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const IDENTITY = { key: KEY, diskDigest: DIGEST, sizeBytes: 8192 * PAGE };
const path = "an overlay";

/** What a call made of a page: a number for its content, 0 for zeros, -1 for what the disk image has. */
interface Version {
  readonly content: number;
  isDone: boolean;
}

/** Room for few more pages than are busy; with `recordCount` of 130 the log goes to its other area soon. */
async function diskWith(maxPages: number, recordCount: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await formatOverlay(disk, IDENTITY, { path, maxBytes: maxPages * PAGE });
  const store = await openOverlay(disk, IDENTITY, path);
  const runs = Array.from({ length: 4000 }, (_, index) => ({ firstPage: 100 + 2 * index, pageCount: 1 }));
  for (let count = 0; count < recordCount; count++) await store.apply(runs);
  await store.flush();
  return disk;
}

test(`each page is as it was flushed, or as one of the calls since left it (seed ${SEED})`, async () => {
  const starts = [await diskWith(40, 0), await diskWith(BUSY, 0), await diskWith(BUSY, 130)];
  for (let run = 0; run < RUNS; run++) {
    const random = randomOf(SEED + run);
    const below = (end: number): number => Math.floor(random() * end);
    let disk = starts[run % starts.length]!.afterLoss(1, random);
    let pages: Version[][] = Array.from({ length: BUSY }, () => [{ content: -1, isDone: true }]);
    for (let round = 0, calls = 0; round < 3; round++) {
      const store = await openOverlay(disk, IDENTITY, path);
      disk.pause = async () => {
        while (random() < 0.6) await turn();
      };
      const found: number[] = [];
      for (let page = 0; page < BUSY; page++) {
        const { kind } = store.runAt(page, page + 1);
        const bytes = kind === "stored" ? new Uint32Array((await pageAt(store, page)).buffer) : undefined;
        const content = bytes?.[0] ?? (kind === "zero" ? 0 : -1);
        const wrong = `run ${run}, round ${round}, page ${page}: ${content} of ${JSON.stringify(pages[page])}`;
        expect(pages[page]!.some((version) => version.content === content) ? "as it was" : wrong).toBe(
          "as it was",
        );
        expect(bytes?.every((word) => word === content)).not.toBe(false);
        found.push(content);
      }
      pages = found.map((content) => [{ content, isDone: true }]);
      disk.callsLeft = below([20, 60, 200][below(3)]!);
      const busy = new Set<number>();
      const running = new Set<Promise<void>>();
      const begin = (call: Promise<void>, onDone: () => void): void => {
        const ended: Promise<void> = call.then(onDone, wasLost).finally(() => running.delete(ended));
        running.add(ended);
      };
      for (let step = 0; step < 1000 && disk.callsLeft >= 0; step++) {
        const firstPage = below(BUSY);
        const pageCount = Math.min(1 + below(4), BUSY - firstPage);
        const mine = Array.from({ length: pageCount }, (_, index) => firstPage + index);
        if (random() < 0.15) {
          const covered = pages.map((versions) => versions.findLast(({ isDone }) => isDone)!);
          begin(store.flush(), () => {
            for (const [page, versions] of pages.entries())
              versions.splice(0, Math.max(0, versions.indexOf(covered[page]!)));
          });
        } else if (mine.every((page) => !busy.has(page))) {
          const content = random() < 0.25 ? 0 : ++calls;
          const added = mine.map(() => ({ content, isDone: false }));
          for (const [index, page] of mine.entries()) {
            busy.add(page);
            pages[page]!.push(added[index]!);
          }
          const bytes = new Uint8Array(new Uint32Array((pageCount * PAGE) / 4).fill(content).buffer);
          const change = { firstPage, pageCount };
          begin(store.apply([content === 0 ? change : { ...change, bytes }]), () => {
            for (const version of added) version.isDone = true;
            for (const page of mine) busy.delete(page);
          });
        } else if (random() < 0.5) await Promise.race(running);
        if (random() < 0.01) await Promise.all(running);
        else if (random() < 0.4) await turn();
      }
      await Promise.all(running);
      disk = disk.afterLoss([0, 0.1, 0.5, 0.9, 1][below(5)]!, random);
    }
  }
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function wasLost(error: unknown): void {
  if (error instanceof PowerLost) return;
  // What comes after the loss, in the same process, fails with this.
  if (error instanceof Error && error.cause instanceof PowerLost) return;
  throw error;
}
