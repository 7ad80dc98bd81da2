/** Threads run what is built: the program of a thread is found beside the module that starts it. */
import { existsSync } from "node:fs";
import path from "node:path";
import type * as Threads from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { SpareThread as SourceSpare } from "../../src/convert/spare-thread.ts";
import type * as Spares from "../../src/convert/spare-thread.ts";
import type * as Sealers from "../../src/convert/worker-sealer.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { SALT } from "./_memory.ts";
import { threads } from "./_threads.ts";

// Moved before all imports, so that it imports what it needs itself.
vi.mock("node:worker_threads", async (load) => {
  const { watched } = await import("./_threads.ts");
  return watched(await load<typeof Threads>());
});

const BUILT = path.resolve(import.meta.dirname, "../../dist/convert");

test("is none where the system gives none", async () => {
  threads.areRefused = true;
  try {
    const spare = new SourceSpare();
    expect(spare.take()).toBeUndefined();
    await spare.close();
  } finally {
    threads.areRefused = false;
  }
});

describe.skipIf(!existsSync(BUILT))("SpareThread (needs npm run build)", () => {
  let folder = temporaryDirectory();
  let store: DirectoryStore;
  /** Node gives a thread that has ended the number -1. */
  const runningCount = (): number => threads.made.filter(({ threadId }) => threadId !== -1).length;

  beforeEach(async () => {
    folder = temporaryDirectory();
    store = await DirectoryStore.open(path.join(folder.path, "store"), { create: true });
  });

  afterEach(async () => {
    threads.made.splice(0);
    await store.close();
    folder.remove();
  });

  async function make(): Promise<Spares.SpareThread> {
    const { SpareThread } = (await import(path.join(BUILT, "spare-thread.js"))) as typeof Spares;
    return new SpareThread();
  }

  test("becomes the first thread of a pool, which ends it", async () => {
    const spare = await make();
    expect(runningCount()).toBe(1);
    const { WorkerSealer } = (await import(path.join(BUILT, "worker-sealer.js"))) as typeof Sealers;
    const sealer = new WorkerSealer(1, SALT, await store.beginWriting(), spare);
    const plain = new Uint8Array(CHUNK_BYTES).fill(7);
    const { sealed, name } = sealChunk(plain, SALT);
    expect(await sealer.seal(plain)).toMatchObject({ name, outcome: "stored" });
    expect(Buffer.compare(await store.getChunk(name), sealed)).toBe(0);
    expect(threads.made).toHaveLength(1);
    expect(spare.take()).toBeUndefined();
    await spare.close(); // It is the pool's.
    expect(await sealer.seal(new Uint8Array(CHUNK_BYTES).fill(8))).toMatchObject({ outcome: "stored" });
    await sealer.close();
    expect(runningCount()).toBe(0);
  });

  test("ends where nobody took it", async () => {
    const spare = await make();
    expect(runningCount()).toBe(1);
    await spare.close();
    expect(runningCount()).toBe(0);
  });
});
