// ⚡ uses: process
/** Manifests and image records that somebody changed: refused by name, never anything else. */
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openManifest, sealManifest } from "../../src/crypto/manifest-seal.ts";
import { encodeImageRecord, parseImageRecord } from "../../src/manifest/image-record.ts";
import { decodeManifestTable } from "../../src/manifest/manifest-codec.ts";
import { sampleContent } from "../support/manifest-sample.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "3000");
const seed = Number(process.env["FUZZ_SEED"] ?? "4099");
const KEY = asCustomerKey(new Uint8Array(32).fill(3));

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

/** True where `work` succeeds; a refusal must have one of these kinds. */
function succeeds(work: () => unknown, kinds: readonly string[]): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (!isLambdaImgError(error) || !kinds.includes(error.kind)) throw error;
    return false;
  }
}

test(`changed manifests are refused by name (seed ${seed})`, () => {
  const below = makeChance(seed);
  const whole = sealManifest(sampleContent(5), KEY);
  for (let run = 0; run < runs; run++) {
    const changed = mutate(whole, below);
    const isSame = Buffer.compare(changed, whole) === 0;
    succeeds(() => decodeManifestTable(changed), ["invalid", "limit", "unsupported"]);
    const isOpened = succeeds(
      () => openManifest(changed, KEY),
      ["invalid", "limit", "unsupported", "corrupt"],
    );
    // Authenticated as a whole: one other bit anywhere, and it does not open.
    expect(isOpened).toBe(isSame);
  }
});

test(`changed image records are refused by name (seed ${seed})`, () => {
  const below = makeChance(seed);
  const whole = encodeImageRecord(sampleContent(1).image);
  for (let run = 0; run < runs; run++) {
    const changed = mutate(whole, below);
    if (!succeeds(() => parseImageRecord(changed), ["invalid", "limit"])) continue;
    // What is read has one form.
    expect(Buffer.compare(encodeImageRecord(parseImageRecord(changed)), changed)).toBe(0);
  }
});
