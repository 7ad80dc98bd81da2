/** Pieces that a tap holds: their memory stays as it is for as long as they are held, and no longer. */
import { gzipSync } from "node:zlib";

import { expect, test } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { decompress, decompressLent } from "../../src/oci/decompress.ts";
import { repeating, slices } from "../support/gzip-member.ts";
import { collect, compress, hasCommand } from "../support/oci-layout.ts";

/** More than fits the memory for output, with matches as far back as they go. */
const LONG = repeating(24_000_000, 60, 8);
const MEMBER = new Uint8Array(gzipSync(LONG, { level: 1 }));

interface Held {
  readonly piece: Uint8Array;
  readonly at: number;
  readonly letGo: () => void;
}

/** Holds each piece until `letGo` is called. */
function holder(): { readonly held: Held[]; readonly tap: (piece: Uint8Array) => Promise<void> } {
  const held: Held[] = [];
  let at = 0;
  return {
    held,
    tap: (piece) =>
      new Promise((letGo) => {
        held.push({ piece, at, letGo });
        at += piece.length;
      }),
  };
}

const isRight = ({ piece, at }: Held): boolean => equalBytes(piece, LONG.subarray(at, at + piece.length));

test.each([1, 3, 10, 30])("stay right while %d of them are held, and lie as in the stream", async (depth) => {
  const { held, tap } = holder();
  let sizeBytes = 0;
  for await (const piece of decompressLent(slices(MEMBER, 100_000), "x", { tap })) {
    expect(piece.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(piece.byteOffset % 16).toBe(sizeBytes % 16);
    sizeBytes += piece.length;
    expect(held.at(-1)?.piece).toBe(piece);
    while (held.length >= depth) {
      const oldest = held.shift()!;
      expect(isRight(oldest)).toBe(true);
      oldest.letGo();
    }
    // Those behind it too, whose memory is next to what is written now.
    expect(held.every(isRight)).toBe(true);
  }
  expect(sizeBytes).toBe(LONG.length);
});

test("are waited for where there is no room for another one", async () => {
  const { held, tap } = holder();
  const pieces = decompressLent(slices(MEMBER, 100_000), "x", { tap });
  let next = pieces.next();
  for (let round = 0; round < 3; round++) {
    while (!(await isWaiting(next))) next = pieces.next();
    expect(held.every(isRight)).toBe(true);
    const heldBytes = held.reduce((sum, { piece }) => sum + piece.length, 0);
    expect(heldBytes).toBeGreaterThan(7 << 20);
    expect(heldBytes).toBeLessThan(9 << 20);
    for (const one of held.splice(0, 10)) one.letGo();
  }
  expect((await next).done).toBe(false);
  await pieces.return();
});

/** Whether that does not come soon. */
function isWaiting(step: Promise<unknown>): Promise<boolean> {
  const late = new Promise<true>((resolve) => setTimeout(resolve, 300, true));
  return Promise.race([step.then(() => false), late]);
}

test("stay right when their stream has ended, whoever decompresses next", async () => {
  const { held, tap } = holder();
  const member = new Uint8Array(gzipSync(LONG.subarray(0, 1_000_000)));
  for await (const piece of decompressLent(slices(member, 100_000), "x", { tap }))
    expect(piece.length).toBeGreaterThan(0);
  await collect(decompress(slices(new Uint8Array(gzipSync(new Uint8Array(3_000_000))), 100_000), "x"));
  expect(held.length).toBeGreaterThan(3);
  expect(held.every(isRight)).toBe(true);
});

test("fail the stream that waits for one that fails", async () => {
  const tap = (): Promise<void> =>
    new Promise((_resolve, reject) => setTimeout(reject, 500, new Error("no more")));
  await expect(collect(decompressLent(slices(MEMBER, 100_000), "x", { tap }))).rejects.toThrow("no more");
});

test.for(["zstd", "none"] as const)(
  "are done with before they are lent: %s",
  async (compression, { skip }) => {
    const plain = LONG.subarray(0, 3_000_000);
    if (compression === "zstd" && !hasCommand("zstd")) skip("no zstd");
    const stored = compress(plain, compression);
    let isHeld = false;
    const seen: Uint8Array[] = [];
    const tap = async (piece: Uint8Array): Promise<void> => {
      isHeld = true;
      seen.push(piece.slice());
      await new Promise((resolve) => setImmediate(resolve));
      isHeld = false;
    };
    for await (const piece of decompressLent(slices(stored, 100_000), "x", { tap })) {
      expect(isHeld).toBe(false);
      expect(equalBytes(piece, seen.at(-1)!)).toBe(true);
    }
    expect(equalBytes(concatBytes(...seen), plain)).toBe(true);
  },
);
