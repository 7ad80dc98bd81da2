import { expect, test } from "vitest";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import type { Fill, Lookup } from "../../src/chunk/lookup-observer.ts";
import { OpenChunks, openChunkNameAt, type OpenChunkName } from "../../src/device/open-chunks.ts";
import { makeChunkDisk } from "../support/chunk-disk.ts";

const ALL = Array.from({ length: 10 }, (_, index) => index);
const { content } = makeChunkDisk(10, ALL);
const NAMES: readonly OpenChunkName[] = ALL.map((position) => openChunkNameAt(content, position));
const PLAIN = new Uint8Array(CHUNK_BYTES);

test("a name follows from the chunk's name and key, and shows neither", () => {
  expect(new Set(NAMES).size).toBe(10);
  expect(openChunkNameAt(makeChunkDisk(10, ALL).content, 3)).toBe(NAMES[3]);
  const changed = (table: Uint8Array): Uint8Array => table.map((byte, at) => (at === 32 ? byte ^ 1 : byte));
  const otherKey = openChunkNameAt({ ...content, keys: changed(content.keys) }, 1);
  const otherName = openChunkNameAt({ ...content, names: changed(content.names) }, 1);
  expect(new Set([otherKey, otherName, NAMES[1]]).size).toBe(3);
  for (const table of [content.keys, content.names]) {
    expect(Buffer.from(table).toString("hex")).not.toContain(NAMES[1]);
  }
});

test("the bound is in bytes, and no more than it stays open", () => {
  const open = new OpenChunks({ maxBytes: 4 * CHUNK_BYTES - 1 });
  expect([open.chunkCountMax, open.sizeBytes]).toEqual([3, 0]);
  for (const name of NAMES) open.add(name, PLAIN, { isAhead: false });
  expect(open.sizeBytes).toBe(3 * CHUNK_BYTES);
  expect(NAMES.filter((name) => open.peek(name) !== undefined).length).toBe(3);
  expect(() => new OpenChunks({ maxBytes: CHUNK_BYTES - 1 })).toThrow("room for a chunk");
});

test("lookups and fills are told of; looking whether something is there is none", () => {
  const told: (Lookup | Fill)[] = [];
  const observer = {
    looked: (lookup: Lookup) => told.push(lookup),
    filled: (fill: Fill) => told.push(fill),
  };
  const open = new OpenChunks({ maxBytes: CHUNK_BYTES, observer });
  expect(open.get(NAMES[0]!)).toBeUndefined();
  open.add(NAMES[0]!, PLAIN, { isAhead: true });
  open.add(NAMES[0]!, PLAIN, { isAhead: false });
  expect(open.get(NAMES[0]!)).toBe(PLAIN);
  expect(open.peek(NAMES[1]!)).toBeUndefined();
  expect(told).toEqual([
    { tier: "memory", outcome: "miss", seconds: 0, sizeBytes: 0 },
    { tier: "memory", outcome: "stored", sizeBytes: CHUNK_BYTES },
    { tier: "memory", outcome: "hit", seconds: 0, sizeBytes: CHUNK_BYTES },
  ]);
});
