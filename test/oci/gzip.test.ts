/** gzip and inflate beside node:zlib, which is another implementation: what it reads we read, what it refuses we refuse. */
import { execFileSync } from "node:child_process";
import { constants, createDeflateRaw, deflateRawSync, gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { concatBytes, equalBytes } from "../../src/base/bytes.ts";
import { decompress, decompressLent } from "../../src/oci/decompress.ts";
import { DeflateWriter } from "../support/deflate-writer.ts";
import { inflateOurs, inflateZlib, memberOf, repeating, slices } from "../support/gzip-member.ts";
import { collect } from "../support/oci-layout.ts";

const OUTPUT = 131_072; // What the inflater gives at once.

describe.each([0, 1, 2, OUTPUT - 1, OUTPUT, OUTPUT + 1, OUTPUT + 258, 3 * OUTPUT + 17, 700_001])(
  "%d bytes",
  (sizeBytes) => {
    test.each([2, 30, 256])("of %d values are read however zlib has deflated them", async (values) => {
      const plain = repeating(sizeBytes, values, sizeBytes + values);
      const options = [
        ...[0, 1, 6, 9].map((level) => ({ level })),
        ...[constants.Z_FIXED, constants.Z_HUFFMAN_ONLY, constants.Z_RLE].map((strategy) => ({ strategy })),
        { windowBits: 9, memLevel: 1 },
        { memLevel: 9, level: 9 },
      ];
      for (const option of options) {
        const found = await inflateOurs(new Uint8Array(deflateRawSync(plain, option)));
        expect(typeof found === "string" ? found : equalBytes(found, plain), JSON.stringify(option)).toBe(
          true,
        );
      }
    });
  },
);

test("streams that change level, strategy and flush in between are read", async () => {
  const law = fc.asyncProperty(
    fc.array(
      fc.record({
        sizeBytes: fc.nat(90_000),
        values: fc.constantFrom(1, 3, 60, 256),
        level: fc.constantFrom(0, 1, 6, 9),
        strategy: fc.constantFrom(0, constants.Z_HUFFMAN_ONLY, constants.Z_RLE, constants.Z_FIXED),
        flush: fc.constantFrom(constants.Z_SYNC_FLUSH, constants.Z_FULL_FLUSH, constants.Z_PARTIAL_FLUSH),
      }),
      { minLength: 2, maxLength: 12 },
    ),
    fc.constantFrom(1 << 20, 70_001, 613),
    async (parts, sizeBytes) => {
      const plain: Uint8Array[] = [];
      const deflater = createDeflateRaw();
      const deflated = collect(deflater);
      for (const [index, part] of parts.entries()) {
        await new Promise<void>((resolve) => {
          deflater.params(part.level, part.strategy, () => {
            resolve();
          });
        });
        plain.push(repeating(part.sizeBytes, part.values, index));
        deflater.write(plain.at(-1));
        await new Promise<void>((resolve) => {
          deflater.flush(part.flush, resolve);
        });
      }
      deflater.end();
      const found = await inflateOurs(await deflated, sizeBytes);
      expect(typeof found === "string" ? found : equalBytes(found, concatBytes(...plain))).toBe(true);
    },
  );
  await fc.assert(law, { numRuns: 40 });
});

test("the cut of the input does not matter", async () => {
  const plain = repeating(300_000, 60, 5);
  const deflated = new Uint8Array(deflateRawSync(plain));
  for (const sizeBytes of [1, 2, 3, 31, 33, 639, 641, 4096, 524_287, 524_288]) {
    const found = await inflateOurs(deflated, sizeBytes);
    expect(typeof found === "string" ? found : equalBytes(found, plain), `${sizeBytes}`).toBe(true);
  }
});

test("every period from 1 to 70 and every match length is copied right", async () => {
  const lengths = Array.from({ length: 256 }, (_, index) => index + 3);
  for (let period = 1; period <= 70; period++) {
    const writer = new DeflateWriter().block(1);
    for (let index = 0; index < period; index++) writer.fixed((index * 7) % 256);
    for (const length of lengths) fixedMatch(writer, length, period);
    writer.fixed(256);
    const expected = inflateZlib(writer.bytes());
    expect(typeof expected).not.toBe("string");
    const found = await inflateOurs(writer.bytes());
    expect(typeof found !== "string" && equalBytes(found, expected as Uint8Array)).toBe(true);
  }
});

test("every match of up to 40 bytes back is what copying byte by byte gives", async () => {
  const fresh = repeating(40, 256, 11);
  for (let distance = 1; distance <= 40; distance++) {
    const writer = new DeflateWriter().block(1);
    const expected: number[] = [];
    for (let length = 3; length <= 258; length++) {
      // Other bytes each time, so that nothing is right because it was there already.
      for (const byte of fresh) {
        expected.push((byte + length) % 256);
        writer.fixed((byte + length) % 256);
      }
      fixedMatch(writer, length, distance);
      for (let count = 0; count < length; count++) expected.push(expected[expected.length - distance]!);
    }
    const deflated = writer.fixed(256).bytes();
    const plain = Uint8Array.from(expected);
    expect(equalBytes(inflateZlib(deflated) as Uint8Array, plain), `zlib: ${distance}`).toBe(true);
    expect(equalBytes((await inflateOurs(deflated)) as Uint8Array, plain), `${distance}`).toBe(true);
  }
});

/** A match in the fixed codes (RFC 1951, 3.2.5 and 3.2.6). */
function fixedMatch(writer: DeflateWriter, length: number, distance: number): void {
  if (length === 258) writer.fixed(285);
  else {
    let symbol = 257;
    let base = 3;
    for (;;) {
      const extra = symbol < 265 ? 0 : (symbol - 261) >> 2;
      if (length < base + (1 << extra)) {
        writer.fixed(symbol).number(length - base, extra);
        break;
      }
      base += 1 << extra;
      symbol++;
    }
  }
  let symbol = 0;
  let base = 1;
  for (;;) {
    const extra = symbol < 4 ? 0 : (symbol >> 1) - 1;
    if (distance < base + (1 << extra)) {
      writer.code(symbol, 5).number(distance - base, extra);
      return;
    }
    base += 1 << extra;
    symbol++;
  }
}

test.each([
  [1, 1, true],
  [1, 2, false],
  [32_768, 32_768, true],
  [32_767, 32_768, false],
  [200_000, 32_768, true],
])("after %d bytes a distance of %d is right: %s", async (before, distance, isRight) => {
  const stored = repeating(before, 200, 3);
  const writer = new DeflateWriter();
  fixedMatch(writer.block(1), 100, distance);
  const deflated = concatBytes(storedBlocks(stored), writer.fixed(256).bytes());
  const found = await inflateOurs(deflated);
  expect(typeof inflateZlib(deflated) !== "string").toBe(isRight);
  if (isRight) expect(equalBytes(found as Uint8Array, inflateZlib(deflated) as Uint8Array)).toBe(true);
  else expect(found).toContain("reaches back too far");
});

/** Stored blocks, none of them the last. */
function storedBlocks(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 65_535) {
    const piece = bytes.subarray(at, at + 65_535);
    parts.push(new DeflateWriter().block(0, false).align().number(piece.length, 16).bytes());
    parts.push(new DeflateWriter().number(~piece.length & 0xffff, 16).bytes(), piece);
  }
  return concatBytes(...parts);
}

/** Codes of a block that is not the last: so many literals, or one match where there are none. */
const ends: readonly [string, (writer: DeflateWriter) => void][] = [
  ["a literal", (writer) => writer.fixed(1)],
  ["two literals", (writer) => writer.fixed(1).fixed(2)],
  ["three literals", (writer) => writer.fixed(1).fixed(2).fixed(3)],
  [
    "a short match",
    (writer) => {
      fixedMatch(writer, 3, 999);
    },
  ],
  [
    "a long match",
    (writer) => {
      fixedMatch(writer, 258, 999);
    },
  ],
];

test.each(ends)("%s may end a block anywhere around the end of the output's room", async (_name, write) => {
  const after = repeating(70_000, 250, 5);
  for (let beforeBytes = OUTPUT - 5; beforeBytes <= OUTPUT; beforeBytes++) {
    const codes = new DeflateWriter().block(1, false);
    write(codes);
    // The stored block that follows begins in the byte in which the codes end.
    codes.fixed(256).block(0, false).align();
    const deflated = concatBytes(
      storedBlocks(repeating(beforeBytes, 250, 4)),
      codes.bytes(),
      storedBlocks(after.subarray(0, 65_535)).subarray(1),
      new Uint8Array(deflateRawSync(after)),
    );
    const expected = inflateZlib(deflated);
    expect(typeof expected).not.toBe("string");
    const found = await inflateOurs(deflated);
    expect(equalBytes(found as Uint8Array, expected as Uint8Array), `${beforeBytes}`).toBe(true);
  }
});

test("a distance does not reach back into the member before", async () => {
  const first = gzipSync(repeating(40_000, 9, 1));
  const second = new DeflateWriter();
  fixedMatch(second.block(1).fixed(65), 10, 2);
  const member = memberOf(second.fixed(256).bytes(), new Uint8Array(0));
  const reading = collect(decompress(slices(concatBytes(new Uint8Array(first), member), 1000), "x"));
  await expect(reading).rejects.toThrow("reaches back too far");
});

test("a stream that is cut anywhere is truncated, not damaged", async () => {
  const member = new Uint8Array(gzipSync(repeating(3000, 40, 8)));
  for (let keptBytes = 2; keptBytes < member.length; keptBytes++) {
    const reading = collect(decompress(slices(member.subarray(0, keptBytes), 1 << 20), "x"));
    await expect(reading, `${keptBytes}`).rejects.toThrow("truncated");
  }
});

test("as many streams as one likes may be read one after another, and some at a time", async () => {
  const plain = repeating(200_000, 40, 8);
  const member = new Uint8Array(gzipSync(plain));
  for (let round = 0; round < 3; round++) {
    const found = await Promise.all(
      Array.from({ length: 6 }, () => collect(decompress(slices(member, 5000), "x"))),
    );
    for (const bytes of found) expect(equalBytes(bytes, plain)).toBe(true);
    // One that is given up half-way, and one that is damaged, leave nothing behind for the next.
    for await (const piece of decompressLent(slices(member, 5000), "x")) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    await expect(collect(decompress(slices(member.subarray(0, 9000), 5000), "x"))).rejects.toThrow(
      "truncated",
    );
  }
});

test("pieces that are lent are right until the next one is asked for", async () => {
  const plain = repeating(1_000_000, 50, 9);
  let at = 0;
  for await (const piece of decompressLent(slices(new Uint8Array(gzipSync(plain)), 10_000), "x")) {
    expect(equalBytes(piece, plain.subarray(at, at + piece.length))).toBe(true);
    at += piece.length;
  }
  expect(at).toBe(plain.length);
});

test("pieces of decompress stay right", async () => {
  const plain = repeating(1_000_000, 50, 9);
  const pieces: Uint8Array[] = [];
  for await (const piece of decompress(slices(new Uint8Array(gzipSync(plain)), 10_000), "x"))
    pieces.push(piece);
  expect(pieces.length).toBeGreaterThan(1);
  expect(equalBytes(concatBytes(...pieces), plain)).toBe(true);
});

const FLAGS = { crc: 2, extra: 4, name: 8, comment: 16 };

/** A member whose header has these fields; Python's gzip and zlib agree on what they are. */
function withHeader(flags: number, fields: Uint8Array, plain: Uint8Array): Uint8Array {
  const whole = memberOf(new Uint8Array(deflateRawSync(plain)), plain);
  const header = concatBytes(Uint8Array.of(0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3), fields);
  if ((flags & FLAGS.crc) === 0) return concatBytes(header, whole.subarray(10));
  const crc = gzipSync(header).subarray(-8, -6); // The trailer's CRC-32, lower half.
  return concatBytes(header, new Uint8Array(crc), whole.subarray(10));
}

describe("headers", () => {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const extra = concatBytes(Uint8Array.of(4, 0), text("abcd"));
  const rows: readonly [string, number, Uint8Array][] = [
    ["a name", FLAGS.name, text("layer.tar\0")],
    ["an extra field", FLAGS.extra, extra],
    ["a comment", FLAGS.comment, text("hello\0")],
    ["a checksum", FLAGS.crc, new Uint8Array(0)],
    ["everything", 31, concatBytes(extra, text("n\0"), text("c\0"))],
    ["a long name", FLAGS.name, concatBytes(new Uint8Array(200_000).fill(65), Uint8Array.of(0))],
  ];

  test.each(rows)("with %s are passed over", async (_name, flags, fields) => {
    const plain = repeating(5000, 99, 2);
    const member = withHeader(flags, fields, plain);
    for (const sizeBytes of [1 << 20, 3]) {
      const found = await collect(decompress(slices(concatBytes(member, member), sizeBytes), "x"));
      expect(equalBytes(found, concatBytes(plain, plain))).toBe(true);
    }
  });

  test.each([
    ["a reserved flag", withHeader(0x20, new Uint8Array(0), new Uint8Array(0)), "unknown header flags"],
    ["another method", Uint8Array.of(0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 3, 0, 0), "compression method 7"],
    [
      "a name without end",
      withHeader(FLAGS.name, new Uint8Array(300_000).fill(65), new Uint8Array(0)),
      "header of more than",
    ],
    [
      "a name that the end cuts",
      withHeader(FLAGS.name, text("abc"), new Uint8Array(0)).subarray(0, 13),
      "truncated",
    ],
  ])("with %s are refused", async (_name, bytes, word) => {
    await expect(collect(decompress(slices(bytes, 1000), "x"))).rejects.toThrow(word);
  });

  test("of one size are taken or refused, however the input is cut", async () => {
    const long = (nameBytes: number): Uint8Array =>
      withHeader(
        FLAGS.name,
        concatBytes(new Uint8Array(nameBytes).fill(65), Uint8Array.of(0)),
        new Uint8Array(9),
      );
    for (const sizeBytes of [1 << 20, 65_536, 4096]) {
      // 10 bytes, the name and its zero.
      expect((await collect(decompress(slices(long(262_133), sizeBytes), "x"))).length).toBe(9);
      await expect(collect(decompress(slices(long(262_134), sizeBytes), "x"))).rejects.toThrow(
        "header of more than",
      );
    }
  });

  test("with a wrong checksum are refused", async () => {
    const member = withHeader(FLAGS.crc | FLAGS.name, text("a\0"), new Uint8Array(10));
    member[10] = 66;
    await expect(collect(decompress(slices(member, 1000), "x"))).rejects.toThrow("CRC-16");
  });
});

test("the WebAssembly is what its source compiles to", () => {
  const script = fileURLToPath(new URL("../../scripts/wasm.mjs", import.meta.url));
  execFileSync(process.execPath, [script, "--check"], { stdio: "pipe" });
});
