// ⚡ uses: process
/** Random stacks of layers, converted with what earlier conversions kept and without. FUZZ_RUNS and FUZZ_SEED as elsewhere. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { decodeSegment, encodeSegment } from "../../src/segment/segment-record.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { makeSegment } from "../support/layer-tree.ts";
import { ReusePlace, sameOf, type ReuseRun } from "../support/reuse-place.ts";
import { tarOfEntries } from "../support/model-layers.ts";
import { prune, stacks } from "./_stacks.ts";

const SEED = Number(process.env["FUZZ_SEED"] ?? 20_601);
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 12);

/** What a conversion gives, or the code of its refusal. */
async function outcomeOf(converted: Promise<ReuseRun>): Promise<unknown> {
  try {
    return sameOf(await converted);
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

test(`stacks converted one after another into one store give what each gives alone (seed ${SEED}, ${RUNS} runs)`, async () => {
  const stack = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  const images = fc.array(fc.array(fc.nat(3), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 3,
  });
  let reusedCount = 0;
  await fc.assert(
    fc.asyncProperty(stack, images, async (drawn, picked) => {
      const tars = prune(drawn).layers.map(tarOfEntries);
      const each = new ReusePlace();
      try {
        const prefixes = tars.map((_, i) => tars.slice(0, i + 1));
        const mixed = picked.map((indexes) => indexes.map((index) => tars[index % tars.length]!));
        for (const [i, image] of [...prefixes, ...mixed].entries()) {
          const together = await outcomeOf(
            each.convert(image).then((found) => {
              reusedCount += found.result.reusedLayerCount;
              return found;
            }),
          );
          expect(together).toEqual(await outcomeOf(each.convert(image, { at: `alone${i}` })));
        }
      } finally {
        each.remove();
      }
    }),
    { numRuns: RUNS, seed: SEED },
  );
  expect(reusedCount).toBeGreaterThan(RUNS);
});

/** The entry with its body as a plain object: how runs are held is not the record's. */
function plainOf({ body, ...entry }: LayerEntry): LayerEntry {
  const runs = body?.runs.map((run) => ({ ...run })) ?? [];
  return { ...entry, body: body && { sizeBytes: body.sizeBytes, runs } };
}

test("what the parser and the builder make of a layer is read from a record as it was written", () => {
  const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  const none = new Uint8Array(0);
  const noChunks = { ordinals: new Uint32Array(0), names: none, keys: none, plainDigests: none };
  fc.assert(
    fc.property(all, (layers) => {
      for (const layer of layers) {
        const { chunkCount, entries } = makeSegment(tarOfEntries(layer));
        const parts = encodeSegment({ ...noChunks, chunkCount, entries });
        const found = decodeSegment(parts).entries;
        expect(Array.from(found, plainOf)).toEqual(Array.from(entries, plainOf));
      }
    }),
    { seed: SEED },
  );
});
