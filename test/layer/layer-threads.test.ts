/** Threads run what is built: the program of a thread is found beside the module that starts it. */
import { existsSync } from "node:fs";
import path from "node:path";

import { afterEach, describe, expect, test, vi } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { asDiffId, parseDigest } from "../../src/base/digest.ts";
import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import { LayerThreads as SourceThreads } from "../../src/layer/layer-threads.ts";
import type * as Threads from "../../src/layer/layer-threads.ts";
import type { LayerInput } from "../../src/layer/open-layer.ts";
import { collect, compress, digestOf } from "../support/oci-layout.ts";
import { repeating } from "../support/gzip-member.ts";

vi.mock("../../src/layer/_layer-thread.ts", () => ({
  LayerThread: function refuse(): never {
    // As node has it where a limit on processes is reached.
    throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" });
  },
}));

const BUILT = path.resolve(import.meta.dirname, "../../dist/layer/layer-threads.js");
const OPTIONS = { layerBytesMax: 2 ** 30 };
/** More than a thread's slots hold, compressed or not. */
const TAR = repeating(9_000_000, 256, 11);
const GZIPPED = compress(TAR, "gzip");

interface Source extends LayerInput {
  readonly state: { isClosed: boolean };
}

/** A layer in pieces. Without a size it counts as large. */
function source(
  bytes: Uint8Array,
  change: { pieceBytes?: number; diffId?: string; failAt?: number; digest?: string } = {},
): Source {
  const { pieceBytes = 100_000, failAt = Infinity } = change;
  const state = { isClosed: false };
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        await Promise.resolve();
        if (at >= failAt) throw new LambdaImgError("STORE_UNAVAILABLE", "from below");
        yield bytes.subarray(at, at + pieceBytes);
      }
    } finally {
      state.isClosed = true;
    }
  }
  const digest = change.digest ?? digestOf(bytes);
  const descriptor = {
    label: "layer 1",
    diffId: asDiffId(parseDigest(change.diffId ?? digestOf(TAR), "test")),
    // Said to be large enough for a thread; the size is compared at the end, so it has to be right.
    stored: { digest: parseDigest(digest, "test"), sizeBytes: bytes.length },
  };
  return { descriptor, bytes: pieces(), state };
}

test("a layer is read in this thread where the system gives no other", async () => {
  const threads = new SourceThreads();
  const given = source(GZIPPED);
  expect(equalBytes(concatBytes(await collect(threads.open(given, OPTIONS))), TAR)).toBe(true);
  expect(given.state.isClosed).toBe(true);
  await threads.close();
});

describe.skipIf(!existsSync(BUILT))("LayerThreads (needs npm run build)", () => {
  const opened: Threads.LayerThreads[] = [];

  async function make(): Promise<Threads.LayerThreads> {
    const { LayerThreads } = (await import(BUILT)) as typeof Threads;
    const threads = new LayerThreads();
    opened.push(threads);
    return threads;
  }

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((threads) => threads.close()));
  });

  test.each([
    ["gzip", GZIPPED],
    ["none", TAR],
    [
      "several members",
      concatBytes(compress(TAR.subarray(0, 5_000_000), "gzip"), compress(TAR.subarray(5_000_000), "gzip")),
    ],
  ])("give a layer as it is, whatever its pieces: %s", async (_name, bytes) => {
    expect(bytes.length).toBeGreaterThan(4 << 20);
    const threads = await make();
    for (const pieceBytes of [bytes.length, 1 << 20, 4321]) {
      const layer = source(bytes, { pieceBytes });
      expect(equalBytes(await collect(threads.open(layer, OPTIONS)), TAR)).toBe(true);
      expect(layer.state.isClosed).toBe(true);
    }
  });

  test("read several layers at a time", async () => {
    const threads = await make();
    const found = await Promise.all([1, 2, 3, 4].map(() => collect(threads.open(source(GZIPPED), OPTIONS))));
    for (const bytes of found) expect(equalBytes(bytes, TAR)).toBe(true);
  });

  test.each([
    ["another diff ID", source(GZIPPED, { diffId: `sha256:${"0".repeat(64)}` }), "DIFF_ID_MISMATCH"],
    ["another digest", source(GZIPPED, { digest: `sha256:${"0".repeat(64)}` }), "DIGEST_MISMATCH"],
    ["truncated", source(GZIPPED.subarray(0, GZIPPED.length - 5000)), "LAYER_INVALID"],
    ["a source that fails", source(GZIPPED, { failAt: 3_000_000 }), "STORE_UNAVAILABLE"],
    ["a source that fails at once", source(GZIPPED, { failAt: 0 }), "STORE_UNAVAILABLE"],
  ])("say what openLayer says of %s, and go on", async (_name, layer, code) => {
    const threads = await make();
    const error: unknown = await collect(threads.open(layer, OPTIONS)).catch((cause: unknown) => cause);
    expect(error instanceof Error && "code" in error ? error.code : error).toBe(code);
    expect(equalBytes(await collect(threads.open(source(GZIPPED), OPTIONS)), TAR)).toBe(true);
    await threads.close();
    expect(layer.state.isClosed).toBe(true);
  });

  test("refuse a layer that grows past its limit", async () => {
    const threads = await make();
    const layer = source(GZIPPED);
    const reading = collect(threads.open(layer, { layerBytesMax: 8_999_999 }));
    const error: unknown = await reading.catch((cause: unknown) => cause);
    expect(error instanceof Error ? error.message : error).toContain("too large");
    await threads.close();
    expect(layer.state.isClosed).toBe(true);
  });

  test("close the source where the caller stops", async () => {
    const threads = await make();
    const layer = source(GZIPPED);
    for await (const piece of threads.open(layer, OPTIONS)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await threads.close();
    expect(layer.state.isClosed).toBe(true);
    expect(equalBytes(await collect(threads.open(source(GZIPPED), OPTIONS)), TAR)).toBe(true);
  });

  test("tell a failure though the source stalls, and close it when it is cancelled", async () => {
    const threads = await make();
    const layer = source(GZIPPED);
    const state = { isClosed: false, cancel: (): void => undefined };
    const cancelled = new Promise<void>((resolve) => (state.cancel = resolve));
    async function* stalling(): AsyncGenerator<Uint8Array> {
      try {
        yield GZIPPED.subarray(0, 1_200_000); // Less than the slots hold: the next question is asked, and stalls.
        await cancelled;
      } finally {
        state.isClosed = true;
      }
    }
    const reading = (async () => {
      for await (const piece of threads.open({ ...layer, bytes: stalling() }, OPTIONS)) {
        expect(piece.length).toBeGreaterThan(0);
        throw new Error("this is no tar");
      }
    })();
    await expect(reading).rejects.toThrow("this is no tar");
    expect(state.isClosed).toBe(false);
    state.cancel();
    await threads.close();
    expect(state.isClosed).toBe(true);
  });

  test("read small layers without a thread", async () => {
    const threads = await make();
    const tar = TAR.subarray(0, 100_000);
    const layer = source(compress(tar, "gzip"), { diffId: digestOf(tar) });
    expect(equalBytes(await collect(threads.open(layer, OPTIONS)), tar)).toBe(true);
    const wrong = source(compress(tar, "gzip"));
    const error: unknown = await collect(threads.open(wrong, OPTIONS)).catch((cause: unknown) => cause);
    // What is built has classes of its own.
    expect(isLambdaImgError(error) || (error instanceof Error && error.name === "LambdaImgError")).toBe(true);
  });
});
