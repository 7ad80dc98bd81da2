/** Threads run what is built: the program of a thread is found beside the module that starts it. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";
import type * as Threads from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { isAllZero } from "../../src/base/bytes.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { WorkerSealer as SourceSealer } from "../../src/convert/worker-sealer.ts";
import type * as Sealers from "../../src/convert/worker-sealer.ts";
import { asDiffId, sha256Digest, type Digest } from "../../src/base/digest.ts";
import { sealChunk } from "../../src/crypto/chunk-seal.ts";
import type { LayerInput } from "../../src/layer/open-layer.ts";
import type { TarHasher } from "../../src/layer/tar-hasher.ts";
import { DirectoryStore } from "../../src/store/directory-store.ts";
import { repeating } from "../support/gzip-member.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { SALT } from "./_memory.ts";
import { threads } from "./_threads.ts";

// Moved before all imports, so that it imports what it needs itself.
vi.mock("node:worker_threads", async (load) => {
  const { watched } = await import("./_threads.ts");
  return watched(await load<typeof Threads>());
});

const BUILT = path.resolve(import.meta.dirname, "../../dist/convert/worker-sealer.js");
const plain = (seed: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(seed);

function sha512Digest(bytes: Uint8Array): Digest {
  return `sha512:${createHash("sha512").update(bytes).digest("hex")}` as Digest;
}

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

  describe("hashing tars", () => {
    /** Longer than all rooms together, and not of whole ones. */
    const TAR = repeating(20_000_001, 251, 7);
    const LARGE = { diffId: asDiffId(sha256Digest(TAR)), stored: undefined, label: "layer 1" };

    function begin(sealer: Sealers.WorkerSealer, layer: LayerInput["descriptor"] = LARGE): TarHasher {
      const hasher = sealer.hashTar(layer);
      if (hasher === undefined) throw new Error("expected a thread");
      return hasher;
    }

    /** Gives bytes in pieces; their memory is overwritten as soon as the hasher has done with it. */
    async function give(hasher: TarHasher, bytes: Uint8Array, pieceBytes: number): Promise<void> {
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const lent = bytes.slice(at, at + pieceBytes);
        await hasher.update(lent);
        expect(lent.length).toBeGreaterThan(0); // It has not gone away.
        lent.fill(0xee);
      }
    }

    test.each([100_000, 512 * 1024, 3_000_000])("in pieces of %d, beside chunks", async (pieceBytes) => {
      const sealer = await make(1);
      const hasher = begin(sealer);
      const sealed = [1, 2, 3].map((seed) => sealer.seal(plain(seed)));
      await give(hasher, TAR, pieceBytes);
      expect(await hasher.finish()).toBe(LARGE.diffId);
      hasher.close();
      for (const [i, chunk] of (await Promise.all(sealed)).entries())
        expect(chunk.name).toBe(sealChunk(plain(i + 1), SALT).name);
    });

    test.each([100_000, 512 * 1024, 3_000_000])(
      "in memory that threads share, in pieces of %d: it is taken where it lies",
      async (pieceBytes) => {
        const sealer = await make(1);
        const hasher = begin(sealer);
        const shared = new Uint8Array(new SharedArrayBuffer(TAR.length + pieceBytes));
        const underWay: Promise<void>[] = [];
        // The last of it lies before the first, as in a ring.
        const start = TAR.length % pieceBytes;
        for (let at = 0; at < TAR.length; at += pieceBytes) {
          const piece = TAR.subarray(at, at + pieceBytes);
          const lent = shared.subarray(piece.length < pieceBytes ? 0 : start + at).subarray(0, piece.length);
          lent.set(piece);
          const done = hasher.update(lent);
          if (done !== undefined) underWay.push(done.then(() => void lent.fill(0xee)));
        }
        expect(underWay.length).toBeGreaterThan(0);
        expect(await hasher.finish()).toBe(LARGE.diffId);
        await Promise.all(underWay);
        hasher.close();
      },
    );

    test("several at once, with their algorithms, one of them empty and one given up", async () => {
      const sealer = await make(1);
      const digests = [TAR, TAR.subarray(1), new Uint8Array(0)].map(sha512Digest);
      const hashers = digests.map((digest) => begin(sealer, { ...LARGE, diffId: asDiffId(digest) }));
      const givenUp = begin(sealer);
      await givenUp.update(TAR.subarray(0, 700_000));
      await Promise.all([give(hashers[0]!, TAR, 70_001), give(hashers[1]!, TAR.subarray(1), 1_000_000)]);
      givenUp.close();
      givenUp.close();
      expect(await Promise.all(hashers.map((hasher) => hasher.finish()))).toEqual(digests);
      for (const hasher of hashers) hasher.close();
      // All memory is back, whatever became of it: as much is there as before.
      const again = begin(sealer);
      await give(again, TAR, 100_000);
      expect(await again.finish()).toBe(LARGE.diffId);
    });

    test("one that is closed before its digest is there gives none, and harms no other", async () => {
      const sealer = await make(1);
      const [closed, other] = [begin(sealer), begin(sealer)];
      await closed.update(TAR.subarray(0, 600_000));
      const finishing = expect(closed.finish()).rejects.toThrow("given up");
      closed.close();
      await finishing;
      await give(other, TAR, 1_000_000);
      expect(await other.finish()).toBe(LARGE.diffId);
      other.close();
    });

    test("lets go of shared memory that was not sent yet when the thread is no more", async () => {
      const sealer = await make(1);
      const hasher = begin(sealer);
      const waiting = expect(hasher.update(new Uint8Array(new SharedArrayBuffer(100)))).rejects.toThrow();
      await expect(sealer.seal(new Uint8Array(5))).rejects.toThrow(); // A bug, which ends the thread.
      await waiting;
      await expect(hasher.finish()).rejects.toThrow();
      hasher.close();
    });

    test("lets go of shared memory when it is closed, whether it was sent by then or not", async () => {
      const sealer = await make(1);
      const hasher = begin(sealer);
      const shared = new Uint8Array(new SharedArrayBuffer(2_000_000));
      const parts = [shared.subarray(0, 1_000_000), shared.subarray(1_000_000, 1_000_100)];
      const underWay = parts.map((part) => hasher.update(part));
      hasher.close();
      for (const done of underWay) await done;
      const other = begin(sealer);
      await give(other, TAR, 1_000_000);
      expect(await other.finish()).toBe(LARGE.diffId);
    });

    test("is not for small layers, nor where the system gives no thread", async () => {
      const sealer = await make(1);
      const digest = sha256Digest(TAR);
      expect(sealer.hashTar({ ...LARGE, stored: { digest, sizeBytes: 4_000_000 } })).toBeUndefined();
      expect(sealer.hashTar({ ...LARGE, stored: { digest, sizeBytes: 5_000_000 } })).toBeDefined();
      threads.areRefused = true;
      try {
        const alone = new SourceSealer(2, SALT, await store.beginWriting());
        sealers.push(alone);
        expect(alone.hashTar(LARGE)).toBeUndefined();
      } finally {
        threads.areRefused = false;
      }
    });

    test("fails whoever waits, and whoever comes, when the thread is no more", async () => {
      const sealer = await make(1);
      const [waiting, giving, late] = [begin(sealer), begin(sealer), begin(sealer)];
      await waiting.update(TAR.subarray(0, 10));
      const shared = new Uint8Array(new SharedArrayBuffer(1_000_000));
      const sharing = begin(sealer);
      const outcomes = Promise.allSettled([
        // A bug, which ends the thread.
        sealer.seal(new Uint8Array(5)),
        waiting.finish(),
        give(giving, TAR, 100_000),
        sharing.update(shared),
      ]);
      expect((await outcomes).map(({ status }) => status)).toEqual(Array(4).fill("rejected"));
      await expect(late.finish()).rejects.toThrow();
      await expect(begin(sealer).update(shared)).rejects.toThrow();
      await expect(give(begin(sealer), TAR, 100_000)).rejects.toThrow();
      for (const hasher of [waiting, giving, late, sharing]) hasher.close();
    });
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
