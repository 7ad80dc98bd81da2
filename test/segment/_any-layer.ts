/** Layers at random: trees with packages, parents and files of sizes that matter to where files lie. */
import fc from "fast-check";

import type { SparseRegion } from "../../src/tar/entry.ts";
import { noise } from "../support/random.ts";
import type { NaiveFile } from "./_naive-segment.ts";

const BLOCK = 4096;

/** Bytes without a period that a block has: bodies are pieces of them. */
const BYTES = noise(2 ** 21);

const TOPS = ["lib", "lib", "lib", "lib/site", "opt", "", "var", "var/lib"];
const OWN_NAMES = ["yarn.lock", "package-lock.json", "pnpm-lock.yaml", "x.lock.js"];
const SPELLINGS: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => path,
  (path) => path,
  (path) => `./${path}`,
  (path) => path.replaceAll("/", "//"),
  (path) => path.replaceAll("/", "/./"),
  (path) => `${path}/`,
  (path) => `/${path}/.`,
];

const small = fc.integer({ min: 1, max: 6 });
const middling = fc.oneof(fc.integer({ min: 5, max: 40 }), fc.integer({ min: 1, max: 12 }));
const large = fc.oneof(fc.integer({ min: 40, max: 140 }), fc.constantFrom(64, 118, 120, 127, 128, 129));
const sizes = fc.oneof(
  { weight: 4, arbitrary: fc.array(small, { maxLength: 14 }) },
  { weight: 6, arbitrary: fc.array(middling, { maxLength: 14 }) },
  { weight: 3, arbitrary: fc.array(large, { maxLength: 3 }) },
  { weight: 1, arbitrary: fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 2 }) },
);

/** What lies in one directory: block counts of files, which may lie in directories of their own. */
const stretch = fc.record({
  top: fc.constantFrom(...TOPS),
  folders: fc.array(fc.constantFrom("a", "b", "c", ".."), { maxLength: 2 }),
  spelling: fc.constantFrom(...SPELLINGS),
  subfolder: fc.constantFrom("", "", "x", "x/y"),
  number: fc.nat(100),
  sizes,
});

const sparse = fc.record({
  number: fc.nat(200),
  gaps: fc.array(fc.tuple(fc.nat(30_000), fc.integer({ min: 1, max: 20_000 })), { maxLength: 6 }),
  tailBytes: fc.nat(9000),
  /** Some have whole chunks, and what they have of those begins and ends anywhere in a block. */
  large: fc.option(fc.integer({ min: 400_000, max: 1_400_000 }), { freq: 4, nil: undefined }),
});

const WITHOUT_NAMES = ["", ".", "//", "./"];

/** Files with all of their blocks. */
const packages = stretch.map(({ top, folders, spelling, subfolder, number, sizes: counts }): NaiveFile[] =>
  counts.map((blockCount, i) => {
    const own = (number + i) % 23 === 0 ? OWN_NAMES[number % OWN_NAMES.length]! : `f${number + i}`;
    // Every third of them lies deeper.
    const names = [top, ...folders, i % 3 === 2 ? subfolder : "", own].filter((name) => name !== "");
    const sizeBytes = blockCount * BLOCK - ((number * 37 + i) % BLOCK);
    return fileOf(spelling(names.join("/")), [{ offsetBytes: 0, sizeBytes }], sizeBytes);
  }),
);

/** A file with holes, some of them without a name. */
const holed = sparse.map(({ number, gaps, tailBytes, large: largeBytes }): NaiveFile[] => {
  let at = 0;
  const sized = gaps.map(
    ([gap, sizeBytes], i) => [gap, i === 1 ? (largeBytes ?? sizeBytes) : sizeBytes] as const,
  );
  const regions = sized.map(([gap, sizeBytes]) => {
    const offsetBytes = at + gap;
    at = offsetBytes + sizeBytes;
    return { offsetBytes, sizeBytes };
  });
  return [fileOf(WITHOUT_NAMES[number] ?? `s${number}`, regions, at + tailBytes)];
});

/** Some layers are smaller than what counts as their beginning, others go far beyond. */
export const anyLayer: fc.Arbitrary<NaiveFile[]> = fc
  .array(fc.oneof({ weight: 9, arbitrary: packages }, { weight: 1, arbitrary: holed }), {
    maxLength: 45,
    size: "max",
  })
  .map((parts) => parts.flat());

function fileOf(path: string, regions: readonly SparseRegion[], sizeBytes: number): NaiveFile {
  const stored = regions.reduce((sum, region) => sum + region.sizeBytes, 0);
  const from = (path.length * 7919 + sizeBytes * 31) % 400_000;
  return { path, sizeBytes, regions, body: BYTES.subarray(from, from + stored) };
}
