// ⚡ uses: process
/** Damaged deflate data: our inflater and node:zlib give the same bytes, or refuse it both. */
import { deflateRawSync } from "node:zlib";

import { expect, test } from "vitest";

import { inflateOurs, inflateZlib } from "../support/gzip-member.ts";
import { makeChance, mutate } from "./_mutate.ts";

const runs = Number(process.env["FUZZ_RUNS"] ?? "4000");
const seed = Number(process.env["FUZZ_SEED"] ?? "1951");

test(`damaged data is read as zlib reads it (seed ${seed})`, async () => {
  const below = makeChance(seed);
  const texts = ["", "abcabcabcabcabcabcabcabd", "x".repeat(700)];
  for (let index = 0; index < 6; index++) {
    texts.push(Array.from({ length: 900 }, () => String.fromCharCode(97 + below(3 + 9 * index))).join(""));
  }
  const whole = texts.flatMap((text) => [0, 1, 9].map((level) => deflateRawSync(text, { level })));
  let readCount = 0;
  for (let run = 0; run < runs; run++) {
    const deflated = mutate(whole[run % whole.length]!, below);
    const expected = inflateZlib(deflated);
    const found = await inflateOurs(deflated);
    const where = `run ${run}: ${Buffer.from(deflated).toString("hex")}`;
    if (typeof expected === "string") expect(found, where).toMatch(/damaged|truncated/);
    else expect(Buffer.compare(found as Uint8Array, expected), where).toBe(0);
    if (typeof expected !== "string") readCount++;
  }
  expect(readCount).toBeGreaterThan(runs / 100);
});

test(`headers of blocks that chance has made are read as zlib reads them (seed ${seed})`, async () => {
  const below = makeChance(seed + 1);
  for (let run = 0; run < runs; run++) {
    const bytes = Uint8Array.from({ length: 40 + below(300) }, () => below(256));
    bytes[0] = (bytes[0]! & ~7) | 5; // The last block, with codes of its own.
    const where = `run ${run}: ${Buffer.from(bytes).toString("hex")}`;
    expect(typeof (await inflateOurs(bytes)), where).toBe(typeof inflateZlib(bytes));
  }
});
