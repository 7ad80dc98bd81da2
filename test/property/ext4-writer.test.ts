// ⚡ uses: process, Buffer
/** Any tree becomes a disk image that e2fsck, our reader and the kernel find right. FUZZ_RUNS raises the number. */
import fc from "fast-check";
import { describe, expect, vi } from "vitest";

import type { SizeRequest } from "../../src/ext4/geometry.ts";
import { buildDiskImage, diskDigestOf } from "../support/disk-image.ts";
import { expectTree } from "../support/judge-disk.ts";
import { testWith } from "../support/judge.ts";
import { noise } from "../support/random.ts";
import { recipeTar, recipeTree, type RecipeEntry } from "../support/tree-recipe.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 10);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);

// Each run takes some tenths of a second, and seconds where the machine is busy.
vi.setConfig({ testTimeout: 60_000 + RUNS * 6000 });

/** Any byte but NUL and the slash. */
const nameByte = fc
  .integer({ min: 1, max: 255 })
  .map((code) => (code === 47 ? "a" : String.fromCharCode(code)));
const name = fc
  .oneof(
    { weight: 3, arbitrary: fc.string({ unit: nameByte, minLength: 1, maxLength: 12 }) },
    { weight: 1, arbitrary: fc.string({ unit: nameByte, minLength: 200, maxLength: 255 }) },
  )
  .map((text) => (text === "." || text === ".." || text.startsWith(".wh.") ? `x${text.slice(1)}` : text));

/** Bytes of a length; equal seeds give equal bytes, so that some trees have equal values. */
const value = (sizes: readonly number[]): fc.Arbitrary<string> =>
  fc
    .record({ size: fc.constantFrom(...sizes), seed: fc.integer({ min: 0, max: 3 }) })
    .map(({ size, seed }) => "abcd".charAt(seed).repeat(size));

const attributes = fc
  .array(
    fc.tuple(
      fc.constantFrom("trusted.a", "trusted.other", "security.x", "security.\xff\x01"),
      value([0, 1, 40, 68, 69, 300, 2000, 4040, 4041, 9000, 65_536]),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => Object.fromEntries(pairs));

const NOISE = Buffer.from(noise(2 ** 21)).toString("latin1");

const body = fc
  .tuple(fc.constantFrom(0, 1, 4095, 4096, 4097, 20_000, 600_000, 2 ** 19, 2 ** 20 + 1), fc.nat(2 ** 19))
  .map(([sizeBytes, from]) => NOISE.slice(from, from + sizeBytes));

/** How far a part lies behind the one before, and how many bytes it has. */
type Part = readonly [gap: number, sizeBytes: number];

const parts: fc.Arbitrary<Part[]> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(fc.tuple(fc.integer({ min: 1, max: 9000 }), fc.integer({ min: 1, max: 6000 })), {
      minLength: 1,
      maxLength: 12,
    }),
  },
  // Whole chunks, of which holes take the first bytes and the last.
  {
    weight: 2,
    arbitrary: fc.array(
      fc.tuple(
        fc.constantFrom(1, 512, 4095, 4608, 2 ** 19, 2 ** 21 + 1),
        fc.integer({ min: 1, max: 1_200_000 }),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  },
  // Hundreds of blocks, each with a byte or a few: many chunks, and with holes between them many extents.
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(100, 128, 340, 341, 700), fc.constantFrom(4093, 4096, 8192, 8191))
      .map(([count, step]) =>
        Array.from({ length: count }, (_, i): Part => [step - 1 - (i % 3), 1 + (i % 3)]),
      ),
  },
);

const sparse = fc.tuple(parts, fc.nat(50_000), fc.nat(2 ** 18)).map(([gapped, tail, from]) => {
  let at = 0;
  const placed = gapped.map(([gap, sizeBytes], i) => {
    const offset = at + gap;
    at = offset + sizeBytes;
    const start = (from + i * 1009) % 2 ** 19;
    return { offset, bytes: NOISE.slice(start, start + sizeBytes) };
  });
  return { sizeBytes: at + tail, parts: placed };
});

const content: fc.Arbitrary<Partial<RecipeEntry>> = fc.oneof(
  { weight: 4, arbitrary: body.map((bytes) => ({ body: bytes })) },
  { weight: 2, arbitrary: sparse.map((holes) => ({ sparse: holes })) },
  { weight: 2, arbitrary: value([1, 59, 60, 4095]).map((target) => ({ target })) },
  { weight: 1, arbitrary: fc.constant({ type: "fifo" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom("char" as const, "block" as const),
      rdev: fc.tuple(fc.integer({ min: 0, max: 4095 }), fc.integer({ min: 0, max: 1_048_575 })),
    }),
  },
);

/** Below which directory, by its ordinal among those so far; what is there; with which name. */
const step = fc.record({
  parent: fc.nat({ max: 1000 }),
  name,
  kind: fc.constantFrom("file", "file", "file", "dir", "hardlink", "crowd"),
  content,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.constantFrom(0, 1000, 65_536, 2 ** 32 - 2),
  gid: fc.constantFrom(0, 100, 2 ** 31),
  mtime: fc.tuple(
    fc.constantFrom(
      -(2 ** 31),
      -1,
      0,
      1_700_000_000,
      2 ** 31,
      2 ** 32 + 7,
      2 ** 33 + 2 ** 31 - 1,
      2 ** 34 - 2 ** 31 - 1,
    ),
    fc.constantFrom(0, 1, 999_999_999),
  ),
  xattrs: attributes,
});

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** The tree that the steps make; a step whose name is taken makes nothing. */
function entriesOf(steps: readonly Step[]): RecipeEntry[] {
  const entries = new Map<string, RecipeEntry>();
  const directories = [""];
  const files: string[] = [];
  for (const { parent, name: own, kind, content: what, ...facts } of steps) {
    const folder = directories[parent % directories.length] ?? "";
    const path = `${folder}/${own}`;
    if (entries.has(path)) continue;
    if (kind === "dir") {
      entries.set(path, { path, type: "dir", ...facts });
      directories.push(path);
    } else if (kind === "hardlink" && files.length > 0) {
      entries.set(path, { path, type: "hardlink", target: files[parent % files.length] ?? "" });
    } else if (kind === "crowd") {
      // Enough names to give the directory an index.
      for (let i = 0; i < 30 + (parent % 300); i++) {
        const crowded = `${folder}/${i}${own.slice(0, 200)}`;
        if (!entries.has(crowded)) entries.set(crowded, { path: crowded });
      }
    } else {
      entries.set(path, { path, ...what, ...facts, ...(what.target === undefined ? {} : { mode: 0o777 }) });
      files.push(path);
    }
  }
  return [...entries.values()];
}

const sizeRequest: fc.Arbitrary<SizeRequest> = fc.oneof(
  fc.constant({ kind: "auto" as const }),
  fc.integer({ min: 0, max: 2 ** 28 }).map((sizeBytes) => ({ kind: "free" as const, sizeBytes })),
  fc.integer({ min: 2 ** 27, max: 2 ** 29 }).map((sizeBytes) => ({ kind: "total" as const, sizeBytes })),
);

describe(`any tree (FUZZ_SEED=${SEED})`, () => {
  testWith(["e2fsck"], "comes back whole from its disk image", async () => {
    const steps = fc.array(step, { maxLength: 60, size: "max" });
    await fc.assert(
      fc.asyncProperty(steps, sizeRequest, async (all, request) => {
        const entries = entriesOf(all);
        const disk = buildDiskImage([recipeTar(entries)], { sizeRequest: request });
        await expectTree(disk, recipeTree(entries));
        expect(diskDigestOf(buildDiskImage([recipeTar(entries)], { sizeRequest: request }))).toBe(
          diskDigestOf(disk),
        );
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });
});
