/** Blocks with codes right and wrong: what node:zlib takes we take, what it refuses we refuse, and say why. */
import { constants, deflateRawSync } from "node:zlib";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { canonicalCodes, DeflateWriter, dynamicBlock } from "../support/deflate-writer.ts";
import { inflateOurs, inflateZlib, repeating } from "../support/gzip-member.ts";

/** 256 literals of 9 bits or so, the end, and what else is asked for. */
const flat = (others: readonly number[]): number[] => [...Array<number>(256).fill(9), 9, ...others];

/** Name, deflate data, and a word of the refusal, or `undefined` where it is right. */
const blocks: readonly [string, Uint8Array, string | undefined][] = [
  [
    "an empty stored block",
    new DeflateWriter().block(0).align().number(0, 16).number(0xffff, 16).bytes(),
    undefined,
  ],
  [
    "a stored block with a wrong complement",
    new DeflateWriter().block(0).align().number(1, 16).number(1, 16).bytes(),
    "stored",
  ],
  ["a block of type 3", new DeflateWriter().block(3).number(0, 30).bytes(), "block type"],
  [
    "the literal 286 of the fixed code",
    new DeflateWriter().block(1).fixed(286).fixed(256).number(0, 40).bytes(),
    "literal or length",
  ],
  [
    "the literal 287 of the fixed code",
    new DeflateWriter().block(1).fixed(287).fixed(256).number(0, 40).bytes(),
    "literal or length",
  ],
  [
    "the distance 30 of the fixed code",
    new DeflateWriter().block(1).fixed(65).fixed(257).code(30, 5).fixed(256).number(0, 40).bytes(),
    "invalid distance",
  ],
  ["287 codes", new DeflateWriter().block(2).number(30, 5).number(0, 5).number(0, 44).bytes(), "too many"],
  ["31 distances", new DeflateWriter().block(2).number(0, 5).number(30, 5).number(0, 44).bytes(), "too many"],
  [
    "no end of a block",
    dynamicBlock([...Array<number>(256).fill(8), 0], [0])
      .number(0, 40)
      .bytes(),
    "end of a block",
  ],
  [
    "codes for literals that are over-subscribed",
    dynamicBlock([...flat([]), ...Array<number>(20).fill(1)], [1])
      .number(0, 40)
      .bytes(),
    "literals and lengths",
  ],
  [
    "codes for literals that are not complete",
    dynamicBlock(flat([]), [1]).number(0, 40).bytes(),
    "literals and lengths",
  ],
  [
    "distances that are over-subscribed",
    dynamicBlock([...Array<number>(255).fill(8), 9, 9], [1, 1, 1])
      .number(0, 40)
      .bytes(),
    "for distances",
  ],
  [
    "distances that are not complete",
    dynamicBlock([...Array<number>(255).fill(8), 9, 9], [2, 2])
      .number(0, 40)
      .bytes(),
    "for distances",
  ],
  [
    "a repetition of nothing",
    new DeflateWriter()
      .block(2)
      .number(0, 5)
      .number(0, 5)
      .number(0, 4)
      .number(1, 3)
      .number(1, 3)
      .number(0, 6)
      .code(0, 1)
      .number(0, 40)
      .bytes(),
    "repetition",
  ],
  [
    "codes for code lengths that are not complete",
    new DeflateWriter()
      .block(2)
      .number(0, 5)
      .number(0, 5)
      .number(0, 4)
      .number(1, 3)
      .number(0, 9)
      .number(0, 40)
      .bytes(),
    "code lengths",
  ],
];

test.each(blocks)("%s", async (_name, deflated, word) => {
  const expected = inflateZlib(deflated);
  const found = await inflateOurs(deflated);
  if (word === undefined) expect(found).toEqual(expected);
  else {
    expect(typeof expected, "zlib refuses it, too").toBe("string");
    expect(found).toContain(word);
  }
});

test("one distance of one bit, and none at all, are codes", async () => {
  const literals = [...Array<number>(254).fill(8), 9, 9, 9, 9]; // 257 is the length 3.
  const codes = canonicalCodes(literals);
  const one = dynamicBlock(literals, [1])
    .code(codes[7]!, 8)
    .code(codes[257]!, 9)
    .code(0, 1)
    .code(codes[256]!, 9);
  expect(await inflateOurs(one.bytes())).toEqual(Uint8Array.of(7, 7, 7, 7));
  const other = dynamicBlock(literals, [1])
    .code(codes[7]!, 8)
    .code(codes[257]!, 9)
    .code(1, 1)
    .code(codes[256]!, 9);
  expect(await inflateOurs(other.number(0, 40).bytes())).toContain("invalid distance");
  const none = dynamicBlock(literals, [0]).code(codes[7]!, 8).code(codes[256]!, 9);
  expect(await inflateOurs(none.bytes())).toEqual(Uint8Array.of(7));
});

/**
 * Lengths of a complete code for so many symbols, with codes of up to 15 bits: what second-level tables are made of. The
 * fewer of the last codes are split, the more short ones stay: what pairs of literals are made of.
 */
function completeCode(symbolsMin: number, symbolsMax: number): fc.Arbitrary<number[]> {
  const picks = fc.array(fc.nat(1_000_000), { minLength: symbolsMin - 1, maxLength: symbolsMax - 1 });
  return fc
    .tuple(picks, fc.constantFrom(1, 2, 8, 1000))
    .map(([from, lastCount]) => {
      const lengths = [0];
      for (const pick of from) {
        const splittable = lengths.map((_, index) => index).filter((index) => lengths[index]! < 15);
        const last = splittable.slice(-lastCount);
        const index = last[pick % last.length]!;
        lengths[index]!++;
        lengths.push(lengths[index]!);
      }
      return lengths;
    })
    .chain((lengths) => fc.shuffledSubarray(lengths, { minLength: lengths.length }));
}

/** A long block that is not the last, of few values: what comes next may have its literals paired, and reach back far. */
const longBlock = new Uint8Array(
  deflateRawSync(repeating(60_000, 12, 6), { finishFlush: constants.Z_SYNC_FLUSH }),
);

/** The symbol at `place` of 2^15 where each takes up as much as its code does: short codes are drawn often, as in any data. */
function drawn(lengths: readonly number[], place: number): number {
  let left = place;
  return lengths.findIndex((length) => (left -= 2 ** (15 - length)) < 0);
}

test("any complete codes are read", async () => {
  const pick = fc.record({
    place: fc.nat(2 ** 15 - 1),
    anySymbol: fc.option(fc.nat(285), { freq: 3 }),
    distance: fc.nat(29),
    extra: fc.nat(8191),
  });
  const law = fc.asyncProperty(
    completeCode(257, 286),
    completeCode(30, 30),
    fc.array(pick, { maxLength: 500, size: "max" }),
    async (lengths, distances, picks) => {
      const codes = canonicalCodes(lengths);
      const distanceCodes = canonicalCodes(distances);
      const writer = dynamicBlock(lengths, distances);
      for (const { place, anySymbol, distance, extra } of picks) {
        const symbol = anySymbol ?? drawn(lengths, place);
        if (symbol === 256 || symbol >= lengths.length) continue;
        writer.code(codes[symbol]!, lengths[symbol]!);
        if (symbol < 256) continue;
        writer.number(extra, symbol < 265 || symbol === 285 ? 0 : (symbol - 261) >> 2);
        writer.code(distanceCodes[distance]!, distances[distance]!);
        writer.number(extra, distance < 4 ? 0 : (distance >> 1) - 1);
      }
      writer.code(codes[256]!, lengths[256]!);
      const deflated = concatBytes(longBlock, writer.bytes());
      const expected = inflateZlib(deflated);
      expect(typeof expected).not.toBe("string");
      const found = await inflateOurs(deflated);
      expect(typeof found === "string" ? found : equalBytes(found, expected as Uint8Array)).toBe(true);
    },
  );
  await fc.assert(law, { numRuns: 100 });
});

describe("literals alone", () => {
  test.each([2, 3, 5, 17, 40])(
    "of %d values, with pairs that cross the end of the output's room, are read",
    async (values) => {
      // Three values and more have codes of different lengths, so one or two literals end there by chance.
      const plain = repeating(3_000_000, values, values).map((value) => Math.floor((value * value) / values));
      const deflated = new Uint8Array(deflateRawSync(plain, { strategy: constants.Z_HUFFMAN_ONLY }));
      for (const sizeBytes of [1 << 20, 10_007]) {
        const found = await inflateOurs(deflated, sizeBytes);
        expect(typeof found === "string" ? found : equalBytes(found, plain)).toBe(true);
      }
    },
  );
});
