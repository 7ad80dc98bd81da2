import { describe, expect, test } from "vitest";

import { CHUNK_BYTES, chunkNameOf, plainDigestOf, type ChunkName } from "../../src/chunk/chunk.ts";
import { ChunkIntake } from "../../src/convert/chunk-intake.ts";
import { ChunkLedger, type ChunkSealer, type StoredChunk } from "../../src/convert/chunk-sealer.ts";

/** A sealer whose chunks are done when the test says so. */
class HandSealer implements ChunkSealer {
  readonly depth = 2;
  readonly waiting: {
    plain: Uint8Array;
    resolve: (chunk: StoredChunk) => void;
    reject: (error: Error) => void;
  }[] = [];

  seal(plain: Uint8Array): Promise<StoredChunk> {
    return new Promise((resolve, reject) => this.waiting.push({ plain, resolve, reject }));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  finishNext(outcome: "stored" | "present" = "stored"): void {
    const { plain, resolve } = this.waiting.shift()!;
    const [plainDigest, name] = [plainDigestOf(plain), chunkNameOf(plain)];
    resolve({
      plainDigest,
      key: new Uint8Array(32),
      name,
      outcome,
      spent: plain.fill(0),
    });
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const chunk = (value: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(value);

function make(): { sealer: HandSealer; stored: Set<ChunkName>; intake: ChunkIntake; ledger: ChunkLedger } {
  const sealer = new HandSealer();
  const stored = new Set<ChunkName>();
  return { sealer, stored, intake: new ChunkIntake(sealer, stored), ledger: new ChunkLedger() };
}

/** True where the promise is settled after the microtasks that wait. */
async function isSettled(promise: Promise<void>): Promise<boolean> {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  await turn();
  return settled;
}

describe("ChunkIntake", () => {
  test("holds back who gives more than the sealer's depth, until one is done", async () => {
    const { sealer, intake, ledger } = make();
    intake.add(ledger, 0, chunk(1));
    await intake.relieve();
    intake.add(ledger, 1, chunk(2));
    const relieved = intake.relieve();
    expect(await isSettled(relieved)).toBe(false);
    sealer.finishNext();
    expect(await isSettled(relieved)).toBe(true);
    const finished = intake.finish();
    expect(await isSettled(finished)).toBe(false);
    sealer.finishNext();
    await finished;
    expect([ledger.get(0)?.name, ledger.get(1)?.name]).toEqual([
      chunkNameOf(chunk(1)),
      chunkNameOf(chunk(2)),
    ]);
  });

  test("never seals a zero chunk, and takes back what the ledger said of it", async () => {
    const { sealer, intake, ledger } = make();
    intake.add(ledger, 3, chunk(1));
    sealer.finishNext();
    await intake.finish();
    expect(ledger.get(3)).toBeDefined();
    intake.add(ledger, 3, chunk(0));
    expect(sealer.waiting).toHaveLength(0);
    expect(ledger.get(3)).toBeUndefined();
  });

  test("tells what was stored from what was there", async () => {
    const { sealer, stored, intake, ledger } = make();
    intake.add(ledger, 0, chunk(1));
    intake.add(ledger, 1, chunk(2));
    sealer.finishNext("stored");
    sealer.finishNext("present");
    await intake.finish();
    expect([...stored]).toEqual([chunkNameOf(chunk(1))]);
  });

  test("throws the first failure from then on, and leaves no rejection unheard", async () => {
    const { sealer, intake, ledger } = make();
    intake.add(ledger, 0, chunk(1));
    intake.add(ledger, 1, chunk(2));
    sealer.waiting[1]!.reject(new Error("second chunk"));
    await turn();
    sealer.waiting[0]!.reject(new Error("first chunk"));
    await expect(intake.relieve()).rejects.toThrow("second chunk");
    await expect(intake.finish()).rejects.toThrow("second chunk");
    await expect(intake.relieve()).rejects.toThrow("second chunk");
  });

  test("gives memory out again that came back, all zero, and keeps no more of it than can be under way", async () => {
    const { sealer, intake, ledger } = make();
    const [used, zero] = [chunk(7), new Uint8Array(CHUNK_BYTES)];
    intake.add(ledger, 0, used);
    sealer.finishNext();
    await intake.finish();
    intake.add(ledger, 1, zero);
    const again = [intake.newChunk(), intake.newChunk(), intake.newChunk()];
    expect(new Set(again.slice(0, 2))).toEqual(new Set([used, zero]));
    expect(again.every((bytes) => bytes.every((byte) => byte === 0))).toBe(true);
    expect([used, zero]).not.toContain(again[2]);
    const given = Array.from({ length: 100 }, () => new Uint8Array(CHUNK_BYTES));
    for (const [i, bytes] of given.entries()) intake.add(ledger, i, bytes);
    const taken = Array.from({ length: 100 }, () => intake.newChunk());
    const known = new Set<Uint8Array>(given);
    expect(taken.filter((bytes) => known.has(bytes))).toHaveLength(sealer.depth + 8);
  });
});
