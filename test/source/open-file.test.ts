/** Files read by ranges, as they are asked for or ahead of that. */
import { writeFileSync } from "node:fs";
import path from "node:path";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { concatBytes } from "../../src/base/bytes.ts";
import { OpenFile } from "../../src/source/_open-file.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

const CONTENT = Buffer.from(Uint8Array.from({ length: 2_700_001 }, (_, at) => (at * 7 + (at >> 8)) & 255));

let folder = temporaryDirectory();
let count = { bytes: 0 };
beforeEach(() => {
  folder = temporaryDirectory();
  count = { bytes: 0 };
  writeFileSync(path.join(folder.path, "f"), CONTENT);
});
afterEach(() => {
  vi.restoreAllMocks();
  folder.remove();
});

/** From now on every read seems to wait for a disk. */
function slowDown(): void {
  let nowMs = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (nowMs += 30));
}

/** A stream reads so many pieces before it is sure of that. */
const SLOW_READS = 6;

async function takeSlowReads(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  for (let read = 0; read < SLOW_READS; read++) {
    const { value } = (await pieces.next()) as { value: Uint8Array };
    expect(value.length).toBe(131_072);
  }
}

const open = (): Promise<OpenFile> => OpenFile.open(path.join(folder.path, "f"), "f", count);

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  for await (const piece of pieces) {
    // Lent: a copy that is made late would have what was read meanwhile, if that went to the same place.
    await new Promise((resolve) => setImmediate(resolve));
    found.push(piece.slice());
  }
  return concatBytes(...found);
}

describe.each([
  ["memory", false],
  ["a disk", true],
])("from %s", (_, isSlow) => {
  test.each([
    [0, CONTENT.length],
    [1, 10],
    [1_000_000, 524_288],
    [3, 1_048_576],
    [2_700_000, 1],
    // More than there is.
    [5, 5_000_000],
    [3_000_000, 10],
    [0, 0],
  ])("from byte %i, %i bytes come as they are", async (offsetBytes, sizeBytes) => {
    if (isSlow) slowDown();
    const file = await open();
    const found = await collect(file.stream({ offsetBytes, sizeBytes }));
    expect(Buffer.compare(found, CONTENT.subarray(offsetBytes, offsetBytes + sizeBytes))).toBe(0);
    expect(count.bytes).toBe(found.length);
    await file.close();
  });
});

test("what is there at once is read as it is asked for, and other work has its turn meanwhile", async () => {
  vi.spyOn(performance, "now").mockReturnValue(0);
  writeFileSync(path.join(folder.path, "f"), Buffer.alloc(9_000_000, 1));
  const file = await open();
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  let readBytes = 0;
  for await (const piece of file.stream({ offsetBytes: 0, sizeBytes: 9_000_000 })) {
    readBytes += piece.length;
    expect(count.bytes).toBe(readBytes);
    const untilMs = Date.now() + 2;
    while (Date.now() < untilMs); // So that the timer has something to tell.
  }
  clearInterval(timer);
  expect(readBytes).toBe(9_000_000);
  expect(turns).toBeGreaterThanOrEqual(2);
  await file.close();
});

test("one read that stands still for long, as another process has the processor, is not taken for a disk", async () => {
  let nowMs = 0;
  let reads = 0;
  vi.spyOn(performance, "now").mockImplementation(() => (nowMs += reads++ === 1 ? 300 : 0.01));
  const file = await open();
  for await (const piece of file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length }))
    expect(piece.length).toBeLessThanOrEqual(131_072);
  await file.close();
});

test("what comes from a disk is read ahead, once some reads have waited", async () => {
  slowDown();
  const file = await open();
  const pieces = file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length });
  await takeSlowReads(pieces);
  expect((await pieces.next()).value?.length).toBe(524_288);
  await vi.waitFor(() => {
    expect(count.bytes).toBe(SLOW_READS * 131_072 + 2 * 524_288);
  });
  await pieces.return();
  await file.close();
});

test("whoever stops early can close the file at once", async () => {
  slowDown();
  const file = await open();
  const pieces = file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length });
  await takeSlowReads(pieces);
  expect((await pieces.next()).value?.length).toBe(524_288);
  await pieces.return();
  await file.close();
  // What was read ahead is all that was read besides.
  expect(count.bytes).toBeLessThanOrEqual(SLOW_READS * 131_072 + 2 * 524_288);
});

test("a read ahead that fails is heard of by who asks for it, and by nobody else", async () => {
  const unhandled: unknown[] = [];
  const listen = (error: unknown): number => unhandled.push(error);
  process.on("unhandledRejection", listen);
  slowDown();
  try {
    const file = await open();
    const pieces = file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length });
    await takeSlowReads(pieces);
    await pieces.next();
    await file.close();
    await new Promise((resolve) => setImmediate(resolve));
    // The one that was under way when the file was closed may still come.
    const rest = (async () => {
      for (;;) if ((await pieces.next()).done === true) return;
    })();
    await expect(rest).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
    expect(unhandled).toEqual([]);
  } finally {
    process.removeListener("unhandledRejection", listen);
  }
});

test("a read that fails names the file", async () => {
  const file = await open();
  const pieces = file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length });
  await pieces.next();
  await file.close();
  await expect(pieces.next()).rejects.toMatchObject({ code: "SOURCE_UNAVAILABLE" });
});

test.each([false, true])("a signal ends it between two pieces (from a disk: %s)", async (isSlow) => {
  if (isSlow) slowDown();
  const abort = new AbortController();
  const file = await open();
  const pieces = file.stream({ offsetBytes: 0, sizeBytes: CONTENT.length, signal: abort.signal });
  await pieces.next();
  await pieces.next();
  abort.abort();
  await expect(pieces.next()).rejects.toMatchObject({ code: "CANCELLED" });
  await file.close();
});
