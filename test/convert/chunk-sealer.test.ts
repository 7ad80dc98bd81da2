import fc from "fast-check";
import { expect, test } from "vitest";

import { chunkNameAt } from "../../src/chunk/chunk.ts";
import { ChunkLedger } from "../../src/convert/chunk-sealer.ts";

const facts = (seed: number): Parameters<ChunkLedger["set"]>[1] => ({
  plainDigest: new Uint8Array(32).fill(seed),
  key: new Uint8Array(32).fill(seed + 1),
  name: chunkNameAt(new Uint8Array(32).fill(seed + 2), 0),
});

test("a ledger is a map from ordinals to facts", () => {
  const step = fc.tuple(
    fc.constantFrom("set", "clear", "copy"),
    fc.integer({ min: 0, max: 300 }),
    fc.nat(250),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let ledger = new ChunkLedger();
      const model = new Map<number, number>();
      let length = 0;
      for (const [kind, ordinal, seed] of steps) {
        if (kind === "set") {
          ledger.set(ordinal, facts(seed));
          model.set(ordinal, seed);
          length = Math.max(length, ordinal + 1);
        } else if (kind === "clear") {
          ledger.clear(ordinal);
          model.delete(ordinal);
        } else {
          const before = ledger;
          ledger = ledger.copy();
          before.set(ordinal, facts(0));
          before.clear(ordinal + 1);
        }
      }
      expect(ledger.length).toBe(length);
      for (let ordinal = 0; ordinal < 310; ordinal++) {
        const seed = model.get(ordinal);
        expect(ledger.get(ordinal)).toEqual(seed === undefined ? undefined : facts(seed));
      }
    }),
  );
});

test("an empty ledger knows nothing", () => {
  const ledger = new ChunkLedger();
  ledger.clear(7);
  expect([ledger.length, ledger.get(0), ledger.get(7)]).toEqual([0, undefined, undefined]);
  expect(ledger.copy().length).toBe(0);
});
