/** What was changed in an overlay's file, or cut off it, is never given as content. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { formatOverlay, openOverlay } from "../../src/device/_overlay-open.ts";
import type { OverlayStore } from "../../src/device/overlay-store.ts";
import { openOverlayFile } from "../../src/device/overlay-store-file.ts";
import { expectBytes, failureOf, patterned } from "../contract/device.ts";
import { randomOf } from "../support/random.ts";
import { SimulatedDisk } from "./_overlay-disk.ts";
import { DIGEST, KEY, PAGE, pageAt } from "./_overlay-model.ts";

const PAGES = 16;
const IDENTITY = { key: KEY, diskDigest: DIGEST, sizeBytes: PAGES * PAGE };
const path = "an overlay";

function codeOf(error: unknown): string {
  if (isLambdaImgError(error)) return error.code;
  throw error;
}

/** A store with pages 0 to 3 on a disk that is written to directly; page 0 lies in slot 0. */
async function onDisk(): Promise<{ disk: SimulatedDisk; slotsOffset: number }> {
  const disk = new SimulatedDisk();
  await formatOverlay(disk, IDENTITY, { path, maxBytes: PAGES * PAGE });
  const store = await openOverlay(disk, IDENTITY, path);
  await store.apply([{ firstPage: 0, pageCount: 4, bytes: patterned(4 * PAGE, 1) }]);
  await store.close();
  return { disk, slotsOffset: disk.writtenEnd - 4 * PAGE };
}

/** What reading page 0 and 1 comes to: bytes that were written there, or a code. */
async function readTwo(disk: SimulatedDisk): Promise<string[]> {
  try {
    const store = await openOverlay(disk, IDENTITY, path);
    const outcomes: string[] = [];
    for (const page of [0, 1]) {
      const code = await failureOf(pageAt(store, page));
      outcomes.push(code);
      if (code !== "no failure") continue;
      expectBytes(await pageAt(store, page), patterned(4 * PAGE, 1).subarray(page * PAGE, (page + 1) * PAGE));
    }
    return outcomes;
  } catch (error) {
    return [codeOf(error)];
  }
}

describe("a changed file", () => {
  test("gives no byte of a page of which one byte is another", async () => {
    for (const at of [0, 1, 2048, PAGE - 1]) {
      const { disk, slotsOffset } = await onDisk();
      disk.flip(slotsOffset + at);
      expect(await readTwo(disk)).toEqual(["OVERLAY_CORRUPT", "no failure"]);
    }
  });

  test("gives no byte of pages that were exchanged, or are those of another time", async () => {
    const { disk, slotsOffset } = await onDisk();
    const pages = [new Uint8Array(PAGE), new Uint8Array(PAGE)] as const;
    await disk.read(pages[0], slotsOffset);
    await disk.read(pages[1], slotsOffset + PAGE);
    await disk.write(pages[1], slotsOffset);
    await disk.write(pages[0], slotsOffset + PAGE);
    expect(await readTwo(disk)).toEqual(["OVERLAY_CORRUPT", "OVERLAY_CORRUPT"]);
    await disk.write(pages[0], slotsOffset);
    await disk.write(pages[1], slotsOffset + PAGE);
    const store = await openOverlay(disk, IDENTITY, path);
    for (const seed of [2, 3]) {
      await store.apply([{ firstPage: 0, pageCount: 4, bytes: patterned(4 * PAGE, seed) }]);
      await store.flush();
    }
    await store.close();
    // What was page 0 once, wherever page 0 may lie now.
    for (let slot = 0; slot < 16; slot++) await disk.write(pages[0], slotsOffset + slot * PAGE);
    expect(await readTwo(disk)).toEqual(["OVERLAY_CORRUPT", "OVERLAY_CORRUPT"]);
  });

  test("is refused where one byte of the log is another", async () => {
    const { slotsOffset } = await onDisk();
    let refusedCount = 0;
    // Header and marks lie before; what of the log was not flushed there is none of.
    for (const at of (await onDisk()).disk.offsets().filter((at) => at >= 3 * PAGE && at < slotsOffset)) {
      const { disk } = await onDisk();
      disk.flip(at);
      const outcome = await readTwo(disk);
      expect([["OVERLAY_CORRUPT"], ["no failure", "no failure"]]).toContainEqual(outcome);
      if (outcome.length === 1) refusedCount++;
    }
    expect(refusedCount).toBeGreaterThan(2);
  });

  test("that was cut anywhere gives what was written, or a failure", async () => {
    const directory = await mkdtemp(join(tmpdir(), "lambda-img-overlay-"));
    const file = join(directory, "overlay");
    const options = { ...IDENTITY, path: file, maxBytes: PAGES * PAGE };
    const first = await openOverlayFile(options);
    await first.store.apply([{ firstPage: 0, pageCount: 4, bytes: patterned(4 * PAGE, 1) }]);
    await first.store.close();
    const whole = await readFile(file);
    const random = randomOf(1);
    const about = [0, 1, PAGE, 2 * PAGE, 3 * PAGE + 100, whole.length - 4 * PAGE, whole.length - 3 * PAGE];
    for (const size of [...about, ...Array.from({ length: 30 }, () => Math.floor(random() * whole.length))]) {
      await writeFile(file, whole.subarray(0, size));
      let store: OverlayStore;
      try {
        store = (await openOverlayFile(options)).store;
      } catch (error) {
        expect(["OVERLAY_INVALID", "OVERLAY_CORRUPT"]).toContain(codeOf(error));
        continue;
      }
      for (let page = 0; page < 4; page++) {
        const isThere = whole.length - (3 - page) * PAGE <= size;
        expect(await failureOf(pageAt(store, page))).toBe(isThere ? "no failure" : "OVERLAY_CORRUPT");
      }
      await store.close();
    }
    await rm(directory, { recursive: true });
  });
});
