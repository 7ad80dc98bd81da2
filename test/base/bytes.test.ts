import fc from "fast-check";
import { describe, expect, test } from "vitest";

import {
  asByteString,
  compareByteStrings,
  concatBytes,
  copyByteString,
  copyInto,
  copyOf,
  equalBytes,
  fromByteString,
  fromHex,
  isAllZero,
  partOf,
  putUint16,
  putUint32,
  showByteString,
  toByteString,
  toHex,
  utf8ByteString,
  utf8Text,
  viewOf,
  wordAt,
  writeByteString,
} from "../../src/base/bytes.ts";

const anyBytes = fc.uint8Array({ maxLength: 50 });

test("a copy has memory of its own, and is no Buffer", () => {
  for (const bytes of [Uint8Array.of(1, 2, 3), Buffer.from([1, 2, 3])]) {
    const copy = copyOf(bytes.subarray(1));
    bytes.fill(9);
    expect(copy).toEqual(Uint8Array.of(2, 3));
    expect(Buffer.isBuffer(copy)).toBe(false);
  }
});

test("bytes go to and from memory that threads share, wherever they lie, and a copy is not shared", () => {
  const give = {
    shared: (bytes: number) => new SharedArrayBuffer(bytes),
    own: (bytes: number) => new ArrayBuffer(bytes),
  };
  const anyMemory = fc.constantFrom(give.shared, give.own);
  fc.assert(
    fc.property(
      anyBytes,
      fc.tuple(anyMemory, anyMemory),
      fc.nat(20),
      fc.nat(20),
      (bytes, [from, to], start, at) => {
        const source = new Uint8Array(from(start + bytes.length)).subarray(start);
        source.set(bytes);
        const target = new Uint8Array(to(at + bytes.length + 3)).fill(0xee);
        copyInto(target, at, source);
        const before = new Uint8Array(at).fill(0xee);
        expect(Array.from(target)).toEqual([...before, ...bytes, 0xee, 0xee, 0xee]);
        const copy = copyOf(source);
        expect(Array.from(copy)).toEqual(Array.from(bytes));
        expect(copy.buffer).toBeInstanceOf(ArrayBuffer);
        expect(Buffer.isBuffer(copy)).toBe(false);
      },
    ),
  );
  expect(() => {
    copyInto(new Uint8Array(5), 3, Uint8Array.of(1, 2, 3));
  }).toThrow(RangeError);
});

describe("byte strings", () => {
  test("hold every byte, and give it back in memory of its own", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const text = toByteString(bytes);
        const back = fromByteString(text);
        expect(text).toHaveLength(bytes.length);
        expect(copyByteString(text)).toBe(text);
        expect(back).toEqual(bytes);
        expect(back.buffer.byteLength).toBe(bytes.length);
        const target = new Uint8Array(bytes.length + 2).fill(9);
        expect(writeByteString(target, text, 1)).toBe(bytes.length);
        expect(target).toEqual(Uint8Array.of(9, ...bytes, 9));
      }),
    );
  });

  test("compare as their bytes do", () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (left, right) => {
        const order = compareByteStrings(toByteString(left), toByteString(right));
        expect(Math.sign(order)).toBe(Buffer.compare(left, right));
      }),
    );
  });

  test("views are read from their own offset", () => {
    expect(toByteString(Uint8Array.of(1, 65, 66, 2).subarray(1, 3))).toBe("AB");
    expect(viewOf(Uint8Array.of(1, 2, 3).subarray(1)).getUint16(0, true)).toBe(0x302);
    expect(toHex(Uint8Array.of(1, 171, 3).subarray(1))).toBe("ab03");
  });

  test("words and numbers are little-endian, as a DataView has them", () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), (first, second) => {
        const bytes = new Uint8Array(10);
        const view = viewOf(bytes);
        putUint32(bytes, 1, first);
        putUint32(bytes, 5, second);
        expect([view.getUint32(1, true), view.getUint32(5, true)]).toEqual([first, second]);
        expect([wordAt(toByteString(bytes), 1), wordAt(toByteString(bytes), 5)]).toEqual([first, second]);
        putUint16(bytes, 3, second);
        expect([view.getUint16(1, true), view.getUint16(3, true), view.getUint32(5, true)]).toEqual([
          first & 0xffff,
          second & 0xffff,
          second,
        ]);
        expect([bytes[0], bytes[9]]).toEqual([0, 0]);
      }),
    );
  });

  test("of text are its UTF-8 form", () => {
    expect(utf8ByteString("aä€")).toBe("a\xc3\xa4\xe2\x82\xac");
  });

  test.each([
    ["", ""],
    ["abc", "abc"],
    ["\xc3\xa4", "ä"],
    ["\xef\xbb\xbfmark", "\ufeffmark"],
    ["\xff", undefined],
    ["a\xc3", undefined],
    ["\xc0\x80", undefined],
    ["\xed\xa0\x80", undefined],
    ["\xf4\x90\x80\x80", undefined],
  ])("%j is the UTF-8 of %j", (bytes, text) => {
    expect(utf8Text(asByteString(bytes))).toBe(text);
  });
});

describe("showByteString", () => {
  test.each([
    ["plain text/1", "plain text/1"],
    ["\xc3\xa4\xe2\x82\xac", "ä€"],
    ["a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"],
    ["\x1b[31m", "\\x1b[31m"],
    ["\xff\xfe", "\\xff\\xfe"],
    ["back\\slash", "back\\\\slash"],
    ["\xc3", "\\xc3"],
    ["\xe2\x82", "\\xe2\\x82"],
    // A C1 control, a right-to-left mark, and a line separator, each as valid UTF-8.
    ["\xc2\x9b", "\\xc2\\x9b"],
    ["\xe2\x80\x8f", "\\xe2\\x80\\x8f"],
    ["\xe2\x80\xa8", "\\xe2\\x80\\xa8"],
    // What would be a mark of the byte order in a file.
    ["\xef\xbb\xbfa", "\\xef\\xbb\\xbfa"],
    ["\xe2\x82a\xed\xa0\x80", "\\xe2\\x82a\\xed\\xa0\\x80"],
    ["\xf0\x9f\xa6\x80", "\u{1f980}"],
  ])("%j", (text, shown) => {
    expect(showByteString(asByteString(text))).toBe(shown);
  });

  test("cuts what is long in the middle, and says how long it was", () => {
    const shown = showByteString(asByteString("x".repeat(5000)));
    expect(shown).toBe(`${"x".repeat(140)}...(5000 bytes)...${"x".repeat(100)}`);
    expect(showByteString(asByteString("x".repeat(300)))).toBe("x".repeat(300));
  });

  test("never gives what a terminal acts on", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(showByteString(toByteString(bytes))).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

test("hexadecimal goes both ways", () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      expect(fromHex(toHex(bytes))).toEqual(bytes);
    }),
  );
});

test("concatBytes joins in fresh memory", () => {
  const part = Uint8Array.of(1, 2);
  const joined = concatBytes(part, new Uint8Array(0), part);
  part[0] = 9;
  expect(joined).toEqual(Uint8Array.of(1, 2, 1, 2));
  expect(concatBytes()).toHaveLength(0);
});

test("equalBytes looks at length and bytes", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  expect(equalBytes(bytes, Uint8Array.of(0, 1, 2, 3).subarray(1))).toBe(true);
  expect(equalBytes(bytes, Uint8Array.of(1, 2))).toBe(false);
  expect(equalBytes(bytes, Uint8Array.of(1, 2, 4))).toBe(false);
  expect(equalBytes(new Uint8Array(0), new Uint8Array(0))).toBe(true);
});

describe("isAllZero", () => {
  test.each([0, 1, 65_535, 65_536, 65_537, 200_000])("sees one byte anywhere among %i", (length) => {
    const bytes = new Uint8Array(length);
    expect(isAllZero(bytes)).toBe(true);
    for (const at of [0, 65_535, 65_536, length - 1]) {
      if (at < 0 || at >= length) continue;
      bytes[at] = 1;
      expect(isAllZero(bytes)).toBe(false);
      bytes[at] = 0;
    }
  });
});

describe("partOf", () => {
  const bytes = Uint8Array.of(1, 2, 3);

  test.each([
    [0, 2, [1, 2]],
    [1, 1, [2]],
    [1, 9, [2, 3]],
    [3, 1, []],
  ])("from %i on, %i at most", (at, sizeBytes, expected) => {
    const part = partOf(bytes, at, sizeBytes);
    expect([...part]).toEqual(expected);
    expect(part.buffer).toBe(bytes.buffer);
  });

  test.each([3, 4])("all of them are the bytes themselves (%i at most)", (sizeBytes) => {
    expect(partOf(bytes, 0, sizeBytes)).toBe(bytes);
  });
});
