// ⚡ uses: process
/** Manifests and image records that somebody changed: refused by name, never anything else. */
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openManifest, sealManifest } from "../../src/crypto/manifest-seal.ts";
import { encodeImageRecord, parseImageRecord } from "../../src/manifest/image-record.ts";
import { decodeManifestTable } from "../../src/manifest/manifest-codec.ts";
import { sampleContent } from "../support/manifest-sample.ts";
import { makeChance, mutate } from "./_mutate.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "3000");
const seed = Number(process.env["FUZZ_SEED"] ?? "4099");
const KEY = asCustomerKey(new Uint8Array(32).fill(3));

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
