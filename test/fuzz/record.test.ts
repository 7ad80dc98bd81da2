// ⚡ uses: process
/** Records that somebody changed: never opened, and where the seal is left out of it, read or refused by name. */
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openRecord } from "../../src/crypto/record-seal.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { clearBytesOf, decodeSegment, encodeSegment } from "../../src/segment/segment-record.ts";
import { decodeTrace, encodeTrace } from "../../src/serve/trace-codec.ts";
import vectors from "../../fixtures/vectors/record.json" with { type: "json" };
import traceVectors from "../../fixtures/vectors/trace.json" with { type: "json" };
import { hex, unhex } from "../support/noble.ts";
import { makeChance, mutate } from "./_mutate.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "3000");
const seed = Number(process.env["FUZZ_SEED"] ?? "5081");
const KEY = asCustomerKey(unhex(vectors.customerKey));
const VECTOR = vectors.segments[1]!;

/** What `work` gives, or `undefined` where it refuses by name. */
function resultOf<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!isLambdaImgError(error, "STORE_INVALID")) throw error;
    return undefined;
  }
}

test(`changed records do not open (seed ${seed})`, () => {
  const below = makeChance(seed);
  const whole = unhex(VECTOR.record);
  const name = parseRecordName(VECTOR.recordName)!;
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(whole, below);
    const clearBytes = resultOf(() => clearBytesOf(bytes));
    const opened = clearBytes === undefined ? undefined : openRecord(name, { bytes, clearBytes }, KEY);
    expect(opened !== undefined).toBe(Buffer.compare(bytes, whole) === 0);
  }
});

test(`changed secrets are read or refused by name, and what is read has one form (seed ${seed})`, () => {
  const below = makeChance(seed);
  const clear = unhex(VECTOR.clear);
  let readCount = 0;
  for (let run = 0; run < runs; run++) {
    const secrets = mutate(unhex(VECTOR.secrets), below);
    const content = resultOf(() => decodeSegment({ clear, secrets }));
    if (content === undefined) continue;
    readCount++;
    expect(hex(encodeSegment(content).clear)).toBe(VECTOR.clear);
    // Attributes of one name become one, and a path may share less than it could: nothing else is lost.
    expect(encodeSegment(content).secrets.length).toBeLessThanOrEqual(secrets.length);
  }
  expect(readCount).toBeGreaterThan(0);
});

test(`changed traces are read or refused by name, and what is read has one form (seed ${seed})`, () => {
  const below = makeChance(seed);
  const { secrets, chunkIndexes } = traceVectors.traces[1]!;
  const table = {
    diskChunkCount: 1000,
    indexes: Uint32Array.from({ length: 1000 }, (_, index) => index),
    names: new Uint8Array(0),
  };
  expect(decodeTrace(unhex(secrets), table)).toEqual(chunkIndexes);
  let readCount = 0;
  for (let run = 0; run < runs; run++) {
    const bytes = mutate(unhex(secrets), below);
    const trace = resultOf(() => decodeTrace(bytes, table));
    if (trace === undefined) continue;
    readCount++;
    expect(hex(encodeTrace(trace))).toBe(hex(bytes));
  }
  expect(readCount).toBeGreaterThan(0);
});
