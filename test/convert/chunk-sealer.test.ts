import fc from "fast-check";
import { expect, test } from "vitest";

import { chunkNameAt } from "../../src/chunk/chunk.ts";
import { ChunkLedger } from "../../src/convert/chunk-sealer.ts";

const bytes = (value: number): Uint8Array => new Uint8Array(32).fill(value);

const facts = (seed: number): Parameters<ChunkLedger["set"]>[1] => ({
  plainDigest: bytes(seed),
  key: bytes(seed + 1),
  name: chunkNameAt(bytes(seed + 2), 0),
});

test("a ledger is a map from ordinals to facts", () => {
  const step = fc.tuple(
    fc.constantFrom("set", "clear", "move"),
    fc.integer({ min: 0, max: 300 }),
    fc.nat(250),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let ledger = new ChunkLedger();
      let model = new Map<number, number>();
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
          ledger = new ChunkLedger();
          ledger.addAll(before, ordinal);
          before.set(seed, facts(0));
          before.clear(seed + 1);
          model = new Map([...model].map(([each, value]) => [each + ordinal, value]));
          if (length > 0) length += ordinal;
        }
      }
      expect(ledger.length).toBe(length);
      for (let ordinal = 0; ordinal <= length; ordinal++) {
        const seed = model.get(ordinal);
        expect(ledger.get(ordinal)).toEqual(seed === undefined ? undefined : facts(seed));
      }
      const known = [...model].sort(([left], [right]) => left - right);
      expect([...ledger.names()]).toEqual(known.map(([, seed]) => facts(seed).name));
      expect(ledger.stored()).toEqual({
        ordinals: Uint32Array.from(known, ([ordinal]) => ordinal),
        plainDigests: Uint8Array.from(known.flatMap(([, seed]) => [...bytes(seed)])),
        keys: Uint8Array.from(known.flatMap(([, seed]) => [...bytes(seed + 1)])),
        names: Uint8Array.from(known.flatMap(([, seed]) => [...bytes(seed + 2)])),
      });
    }),
  );
});

test("a ledger takes over another beside what it has", () => {
  const [ledger, other] = [new ChunkLedger(), new ChunkLedger()];
  ledger.set(0, facts(1));
  ledger.set(9, facts(2));
  other.set(1, facts(3));
  ledger.addAll(other, 4);
  expect(ledger.stored().ordinals).toEqual(Uint32Array.of(0, 5, 9));
  expect([ledger.get(5), ledger.length]).toEqual([facts(3), 10]);
});

test("an empty ledger knows nothing", () => {
  const ledger = new ChunkLedger();
  ledger.clear(7);
  ledger.addAll(new ChunkLedger(), 5);
  expect([ledger.length, ledger.get(0), ledger.get(7)]).toEqual([0, undefined, undefined]);
  expect([[...ledger.names()], ledger.stored().ordinals.length]).toEqual([[], 0]);
});
