/** Blocks with codes right and wrong: what node:zlib takes we take, what it refuses we refuse, and say why. */
import fc from "fast-check";
import { expect, test } from "vitest";

import { canonicalCodes, DeflateWriter, dynamicBlock } from "../support/deflate-writer.ts";
import { inflateOurs, inflateZlib } from "../support/gzip-member.ts";

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

/** Lengths of a complete code for 257 to 286 symbols, with codes of up to 15 bits: what second-level tables are made of. */
const completeCode = fc
  .array(fc.nat(1_000_000), { minLength: 256, maxLength: 285 })
  .map((picks) => {
    const lengths = [0];
    for (const pick of picks) {
      const splittable = lengths.map((_, index) => index).filter((index) => lengths[index]! < 15);
      const index = splittable[pick % splittable.length]!;
      lengths[index]!++;
      lengths.push(lengths[index]!);
    }
    return lengths;
  })
  .chain((lengths) => fc.shuffledSubarray(lengths, { minLength: lengths.length }));

test("any complete code is read", async () => {
  const law = fc.asyncProperty(
    completeCode,
    fc.array(fc.nat(284), { maxLength: 2000 }),
    async (lengths, picks) => {
      const codes = canonicalCodes(lengths);
      const writer = dynamicBlock(lengths, [1]);
      for (const pick of picks.filter((symbol) => symbol < 256)) writer.code(codes[pick]!, lengths[pick]!);
      const deflated = writer.code(codes[256]!, lengths[256]!).bytes();
      const expected = inflateZlib(deflated);
      expect(typeof expected).not.toBe("string");
      expect(await inflateOurs(deflated)).toEqual(expected);
    },
  );
  await fc.assert(law, { numRuns: 60 });
});
