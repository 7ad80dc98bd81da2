import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { BinaryWriter } from "../../src/base/binary.ts";
import { TRACE_BYTES_MAX, TRACE_CHUNK_COUNT_MAX } from "../../src/base/limit.ts";
import { decodeTrace, encodeTrace } from "../../src/serve/trace-codec.ts";
import type { ChunkTable } from "../../src/manifest/manifest.ts";
import vectors from "../../fixtures/vectors/trace.json" with { type: "json" };
import { codeOf } from "../support/code-of.ts";
import { hex, unhex } from "../support/noble.ts";

/** A table with every chunk of a disk image but those that a multiple of three names. */
function tableOf(diskChunkCount: number): ChunkTable {
  const all = Array.from({ length: diskChunkCount }, (_, index) => index);
  const indexes = Uint32Array.from(all.filter((index) => index % 3 !== 0));
  return { diskChunkCount, indexes, names: new Uint8Array(32 * indexes.length) };
}

/** The bytes of these numbers, each of which is written as it is. */
function bytesOf(...numbers: readonly number[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const number of numbers) writer.number(number);
  return writer.finish();
}

test("any order of any chunks comes back", () => {
  const table = tableOf(5000);
  const chunkIndexes = fc.uniqueArray(fc.constantFrom(...table.indexes), { minLength: 1, maxLength: 500 });
  fc.assert(
    fc.property(chunkIndexes, (trace) => {
      expect(decodeTrace(encodeTrace(trace), table)).toEqual(trace);
    }),
  );
});

test("the vectors are what the format says", () => {
  for (const { chunkIndexes, secrets } of vectors.traces) {
    expect(hex(encodeTrace(chunkIndexes))).toBe(secrets);
    const indexes = Uint32Array.from(chunkIndexes).sort((left, right) => left - right);
    const table = { diskChunkCount: 10_000_000, indexes, names: new Uint8Array(0) };
    expect(decodeTrace(unhex(secrets), table)).toEqual(chunkIndexes);
  }
});

test("the longest trace fits its limit, with the longest steps that a disk image allows", () => {
  const last = 16_256 * 256 - 1;
  const trace = Array.from({ length: TRACE_CHUNK_COUNT_MAX }, (_, at) => (at % 2 === 0 ? at : last - at));
  const bytes = encodeTrace(trace);
  expect(bytes.length + 48).toBeLessThanOrEqual(TRACE_BYTES_MAX);
  const indexes = Uint32Array.from(trace).sort((left, right) => left - right);
  expect(decodeTrace(bytes, { diskChunkCount: last + 1, indexes, names: new Uint8Array(0) })).toEqual(trace);
  expect(() => encodeTrace([...trace, 1])).toThrow("not too many");
  expect(() => encodeTrace([])).toThrow("has chunks");
});

describe("refused is", () => {
  const table = tableOf(10);
  const tooMany = TRACE_CHUNK_COUNT_MAX + 1;
  test.each<[string, Uint8Array]>([
    ["nothing at all", new Uint8Array(0)],
    ["version 0", bytesOf(0, 1, 0, 1)],
    ["version 2", bytesOf(2, 1, 0, 1)],
    ["a trace without chunks", bytesOf(1, 0)],
    ["one of too many", bytesOf(1, tooMany, 0, 1)],
    ["one that ends early", bytesOf(1, 2, 0, 1)],
    ["one that ends in a number", bytesOf(1, 1, 0)],
    ["a chunk that is not in the table", bytesOf(1, 1, 0, 3)],
    ["a chunk before the first", bytesOf(1, 1, 1, 1)],
    ["a chunk behind the last", bytesOf(1, 1, 0, 11)],
    ["a step that is too large to add", bytesOf(1, 2, 0, 1, 0, Number.MAX_SAFE_INTEGER)],
    ["a sign that is none", bytesOf(1, 1, 2, 1)],
    ["a chunk that comes twice", bytesOf(1, 3, 0, 1, 0, 1, 1, 1)],
    ["a chunk that comes twice in a row", bytesOf(1, 2, 0, 1, 0, 0)],
    ["a byte behind the last chunk", bytesOf(1, 1, 0, 1, 0)],
  ])("%s", async (_, bytes) => {
    expect(await codeOf(Promise.resolve().then(() => decodeTrace(bytes, table)))).toBe("STORE_INVALID");
  });
});
