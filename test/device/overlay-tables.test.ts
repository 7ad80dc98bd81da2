import fc from "fast-check";
import { expect, test } from "vitest";

import { PageTable } from "../../src/device/_overlay-pages.ts";
import { SlotTable } from "../../src/device/_overlay-slots.ts";

const PAGES = 3 * 1024 + 5;

test("the table of pages is an array of states", () => {
  const place = fc.oneof(fc.nat(PAGES), fc.constantFrom(0, 1023, 1024, 1025, 2048, 3072, PAGES));
  const change = fc.record({ from: place, to: place, isZero: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const table = new PageTable(PAGES);
      const model = new Int32Array(PAGES).fill(-2); // -2: base, -1: zero, else a slot
      let nextSlot = 0;
      for (const { from, to, isZero } of changes) {
        const [first, end] = [Math.min(from, to), Math.max(from, to)];
        const former: number[] = [];
        if (isZero) table.setZero(first, end - first, (slot) => former.push(slot));
        const expected: number[] = [];
        for (let page = first; page < (isZero ? end : Math.min(end, first + 3)); page++) {
          if (model[page]! >= 0) expected.push(model[page]!);
          if (!isZero) {
            const slot = table.setSlot(page, nextSlot);
            if (slot !== undefined) former.push(slot);
          }
          model[page] = isZero ? -1 : nextSlot++;
        }
        expect(former).toEqual(expected);
      }
      const kindOf = (state: number): string => (state >= 0 ? "stored" : state === -1 ? "zero" : "base");
      const zeros: object[] = [];
      for (let page = 0; page < PAGES;) {
        const run = table.runAt(page, PAGES);
        let end = page + 1;
        while (end < PAGES && kindOf(model[end]!) === kindOf(model[page]!)) end++;
        expect(run).toEqual({ kind: kindOf(model[page]!), firstPage: page, pageCount: end - page });
        if (run.kind === "zero") zeros.push(run);
        page = end;
      }
      expect([...table.zeroRuns()]).toEqual(zeros);
      const stored = [...model.entries()]
        .filter(([, slot]) => slot >= 0)
        .map(([page, slot]) => ({ page, slot }));
      expect([...table.storedPages()]).toEqual(stored);
      expect(table.storedCount).toBe(stored.length);
    }),
    { numRuns: 100 },
  );
});

test("slots are given out once, the freed before those that never were, in ascending order", () => {
  const step = fc.record({ take: fc.nat(40), release: fc.nat(40), at: fc.nat(299) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.nat(), (all, seed) => {
      const table = new SlotTable(300);
      const taken = new Set<number>();
      let end = 0;
      for (const { take, release, at } of all) {
        expect(table.freeCount).toBe(300 - taken.size);
        const count = Math.min(take, table.freeCount);
        const freedCount = end - taken.size;
        const slots = table.take(count);
        expect(slots).toEqual([...slots].sort((left, right) => left - right));
        expect(slots.filter((slot) => slot < end)).toHaveLength(Math.min(count, freedCount));
        for (const slot of slots) {
          expect(taken.has(slot)).toBe(false);
          taken.add(slot);
          end = Math.max(end, slot + 1);
        }
        expect(table.takeAt(at)).toBe(!taken.has(at));
        taken.add(at);
        end = Math.max(end, at + 1);
        for (const slot of [...taken].filter((_, index) => (index + seed) % 3 === 0).slice(0, release)) {
          table.release(slot);
          taken.delete(slot);
        }
      }
      expect(table.takeAt(300)).toBe(false);
      expect(() => table.take(table.freeCount + 1)).toThrow("as many free slots");
    }),
    { numRuns: 200 },
  );
});

test("seals of slots lie apart", () => {
  const table = new SlotTable(5000);
  const slots = [0, 1, 1023, 1024, 4999];
  for (const slot of slots) table.sealOf(slot).fill(slot % 251);
  for (const slot of slots) expect([...table.sealOf(slot)]).toEqual(new Array(40).fill(slot % 251));
});
