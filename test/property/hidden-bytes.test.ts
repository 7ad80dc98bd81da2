// ⚡ uses: process
/**
 * Large files with holes anywhere, hidden in every way there is: no byte of theirs is on the disk, and all of their neighbours' are. Every
 * line of 16 bytes says whose it is. FUZZ_RUNS and FUZZ_SEED as elsewhere.
 */
import fc from "fast-check";
import { expect, test } from "vitest";

import { KEYRING, readDisk, ReusePlace } from "../support/reuse-place.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";

const SEED = Number(process.env["FUZZ_SEED"] ?? 41);
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 6);
const LINE_BYTES = 16;
const MARKS = { hidden: 0x64646968, neighbour: 0x6867696e };

const WAYS: Readonly<Record<string, (tar: TarBuilder) => TarBuilder>> = {
  whiteout: (tar) => tar.file("d/.wh.f"),
  "opaque marker": (tar) => tar.file("d/.wh..wh..opq").file("d/new", "x"),
  "whiteout of its directory": (tar) => tar.file(".wh.d"),
  file: (tar) => tar.file("d/f", "x"),
  directory: (tar) => tar.dir("d/f"),
  "symlink in place of its directory": (tar) => tar.symlink("d", "n"),
  "hard link to its neighbour": (tar) => tar.hardlink("d/f", "n/0"),
};

/** In lines; whole blocks, and what begins and ends anywhere in one. */
const length = fc.oneof(fc.integer({ min: 1, max: 600 }), fc.constantFrom(256, 512, 32_768, 33_000));
const regions = fc.array(fc.tuple(length, length), { minLength: 1, maxLength: 40 });

function linesOf(mark: number, count: number): Uint8Array {
  return new Uint8Array(
    Uint32Array.from({ length: 4 * count }, (_, at) => (at % 4 === 0 ? mark : at)).buffer,
  );
}

function countOf(disk: Uint8Array): Record<keyof typeof MARKS, number> {
  const words = new Uint32Array(disk.buffer, disk.byteOffset, disk.length / 4);
  const found = { hidden: 0, neighbour: 0 };
  for (let at = 0; at < words.length; at += 4) {
    if (words[at] === MARKS.hidden) found.hidden++;
    if (words[at] === MARKS.neighbour) found.neighbour++;
  }
  return found;
}

test(`a hidden file leaves nothing and takes nothing with it (seed ${SEED}, ${RUNS} runs)`, async () => {
  await fc.assert(
    fc.asyncProperty(regions, fc.constantFrom(...Object.keys(WAYS)), async (drawn, way) => {
      let end = 0;
      const parts = drawn.map(([hole, count]) => {
        const offset = end + hole * LINE_BYTES;
        end = offset + count * LINE_BYTES;
        return { offset, bytes: linesOf(MARKS.hidden, count) };
      });
      const below = tarBuilder().dir("d").dir("n");
      const neighbour = linesOf(MARKS.neighbour, 5000);
      below.file("n/0", neighbour).sparse("pax-1.0", { path: "d/f", realSize: end, parts });
      const tars = [below.file("n/1", neighbour).end(), WAYS[way]?.(tarBuilder()).end() ?? new Uint8Array()];
      const place = new ReusePlace();
      try {
        const shown = drawn.reduce((sum, [, count]) => sum + count, 0);
        for (const [layerCount, hidden] of [
          [2, 0],
          [1, shown],
          [2, 0],
        ] as const) {
          const sizeRequest = { kind: "total", sizeBytes: 40 * 2 ** 20 } as const;
          const { result } = await place.convert(tars.slice(0, layerCount), { sizeRequest });
          const store = await place.open();
          expect(countOf(await readDisk(store, KEYRING, result))).toEqual({ hidden, neighbour: 10_000 });
          await store.close();
        }
      } finally {
        place.remove();
      }
    }),
    // Shrinking takes longer than a test may: what was drawn is told as it is.
    { numRuns: RUNS, seed: SEED, endOnFailure: true },
  );
});
