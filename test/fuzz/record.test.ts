// ⚡ uses: process
/** Records that somebody changed: never opened, and where the seal is left out of it, read or refused by name. */
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openRecord } from "../../src/crypto/record-seal.ts";
import { parseRecordName } from "../../src/manifest/record-name.ts";
import { clearBytesOf, decodeSegment, encodeSegment } from "../../src/segment/segment-record.ts";
import vectors from "../../fixtures/vectors/record.json" with { type: "json" };
import { hex, unhex } from "../support/noble.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "3000");
const seed = Number(process.env["FUZZ_SEED"] ?? "5081");
const KEY = asCustomerKey(unhex(vectors.customerKey));
const VECTOR = vectors.segments[1]!;

/** A linear congruential generator: the same numbers for the same seed, everywhere. */
function makeChance(start: number): (bound: number) => number {
  let state = start >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

function mutate(bytes: Uint8Array, below: (bound: number) => number): Uint8Array {
  let changed = Uint8Array.from(bytes);
  for (let count = 1 + below(3); count > 0; count--) {
    const at = below(changed.length + 1);
    const kind = below(4);
    if (kind === 0 && changed.length > 0) changed[at % changed.length] = below(256);
    else if (kind === 1) changed = changed.slice(0, at);
    else if (kind === 2)
      changed = Uint8Array.from([...changed.subarray(0, at), below(256), ...changed.subarray(at)]);
    else changed = Uint8Array.from([...changed, ...changed.subarray(at)]);
  }
  return changed;
}

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
