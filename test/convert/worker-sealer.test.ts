/** Threads run what is built: the program of a thread is found beside the module that starts it. */
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import type { Worker } from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { isAllZero } from "../../src/base/bytes.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { WorkerSealer as SourceSealer } from "../../src/convert/worker-sealer.ts";
import type * as Sealers from "../../src/convert/worker-sealer.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { SALT } from "./_memory.ts";

const threads = vi.hoisted(() => ({ areRefused: false }));
vi.mock("node:worker_threads", async (load) => {
  const real = await load<{ Worker: typeof Worker }>();
  return {
    ...real,
    Worker: class extends real.Worker {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        // As node has it where a limit on processes is reached.
        if (threads.areRefused) {
          throw Object.assign(new Error("EAGAIN"), { code: "ERR_WORKER_INIT_FAILED" });
        }
        super(...given);
      }
    },
  };
});

const BUILT = path.resolve(import.meta.dirname, "../../dist/convert/worker-sealer.js");
const plain = (seed: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(seed);

describe.skipIf(!existsSync(BUILT))("WorkerSealer (needs npm run build)", () => {
  let folder = temporaryDirectory();
  let store: DirectoryStore;
  const sealers: Sealers.WorkerSealer[] = [];

  beforeEach(async () => {
    folder = temporaryDirectory();
    store = await DirectoryStore.open(path.join(folder.path, "store"), { create: true });
  });

  afterEach(async () => {
    await Promise.all(sealers.splice(0).map((sealer) => sealer.close()));
    await store.close();
    folder.remove();
  });

  async function make(threads: number): Promise<Sealers.WorkerSealer> {
    const { WorkerSealer } = (await import(BUILT)) as typeof Sealers;
    const sealer = new WorkerSealer(threads, SALT, await store.beginWriting());
    sealers.push(sealer);
    return sealer;
  }

  /** Has a link to itself in the chunk's place. */
  async function putInTheWay(bytes: Uint8Array): Promise<void> {
    const { name } = sealChunk(bytes, SALT);
    const place = path.join((await store.beginWriting()).chunksDirectory, name.slice(0, 2));
    mkdirSync(place, { recursive: true });
    symlinkSync(name, path.join(place, name));
  }

  test("seals in this thread where the system gives no other", async () => {
    threads.areRefused = true;
    try {
      const sealer = new SourceSealer(2, SALT, await store.beginWriting());
      sealers.push(sealer);
      const { sealed, name } = sealChunk(plain(1), SALT);
      for (const outcome of ["stored", "present"]) {
        expect(await sealer.seal(plain(1))).toMatchObject({ name, outcome });
      }
      expect(Buffer.compare(await store.getChunk(name), sealed)).toBe(0);
    } finally {
      threads.areRefused = false;
    }
  });

  test("gives what sealing in this thread gives, each caller its own, from any number of threads", async () => {
    for (const threads of [1, 3]) {
      const sealer = await make(threads);
      const seeds = Array.from({ length: 20 }, (_, i) => i + 1);
      const found = await Promise.all(seeds.map((seed) => sealer.seal(plain(seed))));
      for (const [i, seed] of seeds.entries()) {
        const { sealed, ...expected } = sealChunk(plain(seed), SALT);
        const { outcome, ...chunk } = found[i]!;
        expect(chunk).toMatchObject(expected);
        expect(isAllZero(chunk.spent)).toBe(true);
        expect(outcome).toBe(threads === 1 ? "stored" : "present");
        expect(Buffer.compare(await store.getChunk(chunk.name), sealed)).toBe(0);
      }
    }
  });

  test("seals here what would wait at the end of a full queue, and goes on with its threads", async () => {
    const sealer = await make(1);
    const seeds = Array.from({ length: 2 * sealer.depth }, (_, i) => i + 1);
    const given = seeds.map(plain);
    const sealed = given.map((bytes) => sealer.seal(bytes));
    // Memory that has gone to a thread is not here any more.
    const areHere = given.map(({ length }) => length > 0);
    expect(areHere).toEqual(seeds.map((seed) => seed >= sealer.depth));
    const found = await Promise.all(sealed);
    for (const [i, seed] of seeds.entries()) {
      const { sealed: expected, ...chunk } = sealChunk(plain(seed), SALT);
      expect(found[i]).toMatchObject({ ...chunk, outcome: "stored" });
      expect(isAllZero(found[i]!.spent)).toBe(true);
      expect(Buffer.compare(await store.getChunk(chunk.name), expected)).toBe(0);
    }
    const after = plain(200);
    const last = sealer.seal(after);
    expect(after.length).toBe(0);
    await last;
  });

  test("gives the store's errors of what it seals here", async () => {
    const sealer = await make(1);
    const waiting = Array.from({ length: sealer.depth - 1 }, (_, i) => sealer.seal(plain(i + 1)));
    await putInTheWay(plain(201));
    await expect(sealer.seal(plain(201))).rejects.toMatchObject({
      code: expect.stringMatching(/^STORE_/) as string,
    });
    await Promise.all(waiting);
  });

  test("starts another thread where the queue is full, and no more than it may", async () => {
    const sealer = await make(2);
    for (const seed of [1, 2, 3, 4]) {
      await sealer.seal(plain(seed));
      expect(sealer.depth).toBe(16); // One thread keeps up.
    }
    const many = Array.from({ length: 60 }, (_, i) => sealer.seal(plain(i + 5)));
    expect(sealer.depth).toBe(20);
    await Promise.all(many);
    await Promise.all(Array.from({ length: 60 }, (_, i) => sealer.seal(plain(i + 65))));
    expect(sealer.depth).toBe(20);
  });

  test("takes the memory that it is given", async () => {
    const sealer = await make(1);
    const given = plain(1);
    const sealed = sealer.seal(given);
    expect(given.length).toBe(0);
    await sealed;
  });

  test("gives the store's errors with their code, and goes on", async () => {
    const sealer = await make(1);
    await putInTheWay(plain(1));
    await expect(sealer.seal(plain(1))).rejects.toMatchObject({
      name: "LambdaImgError",
      code: expect.stringMatching(/^STORE_/) as string,
    });
    expect(await sealer.seal(plain(2))).toMatchObject({ outcome: "stored" });
  });

  test("a chunk of a wrong size is a bug, which ends the thread and fails who waits", async () => {
    const sealer = await make(1);
    const calls = [sealer.seal(new Uint8Array(5)), sealer.seal(plain(1))];
    const outcomes = await Promise.allSettled(calls);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await expect(sealer.seal(plain(2))).rejects.toThrow();
  });

  test("closing fails the calls under way, and can be done again", async () => {
    const sealer = await make(2);
    const calls = [1, 2, 3, 4].map((seed) => sealer.seal(plain(seed)));
    const outcomes = Promise.allSettled(calls);
    await sealer.close();
    await sealer.close();
    // Whatever was done by then is done: nobody waits for ever.
    expect(await outcomes).toHaveLength(4);
  });
});
