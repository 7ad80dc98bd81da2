import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { BinaryReader, BinaryWriter } from "../../src/base/binary.ts";
import { toByteString } from "../../src/base/bytes.ts";
import vectors from "../../fixtures/vectors/record.json" with { type: "json" };
import { hex, unhex } from "../support/noble.ts";
import { varint } from "../support/noble-record.ts";

function written(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

const natural = fc.oneof(fc.maxSafeNat(), fc.nat(300), fc.constantFrom(0, 127, 128, 2 ** 53 - 1));

test.each(vectors.numbers)("$value is written as $bytes, and read", ({ value, bytes }) => {
  const found = written((writer) => {
    writer.number(value);
  });
  expect(hex(found)).toBe(bytes);
  expect(new BinaryReader(unhex(bytes)).number()).toBe(value);
});

test("raw bytes are written without their length, and all that was written is counted", () => {
  const writer = new BinaryWriter();
  expect(writer.length).toBe(0);
  writer.number(300);
  writer.raw(Uint8Array.of(7, 8));
  expect(writer.length).toBe(4);
  writer.raw(new Uint8Array(5000).fill(9));
  expect(writer.length).toBe(5004);
  expect(hex(writer.finish().subarray(0, 5))).toBe("ac02070809");
});

test("any number is written as its bits are, seven by seven", () => {
  fc.assert(
    fc.property(natural, (value) => {
      const found = written((writer) => {
        writer.number(value);
      });
      expect(hex(found)).toBe(hex(varint(value)));
    }),
  );
});

test("any row of values is read as it was written", () => {
  const value = fc.oneof(
    natural.map((number) => ({ kind: "number", number }) as const),
    fc.maxSafeInteger().map((number) => ({ kind: "signed", number: number === 0 ? 0 : number }) as const),
    fc.uint8Array({ maxLength: 3000 }).map((bytes) => ({ kind: "bytes", bytes }) as const),
    fc.uint8Array({ maxLength: 3000 }).map((bytes) => ({ kind: "text", text: toByteString(bytes) }) as const),
  );
  fc.assert(
    fc.property(fc.array(value, { maxLength: 20 }), (values) => {
      const bytes = written((writer) => {
        for (const each of values) {
          if (each.kind === "number") writer.number(each.number);
          else if (each.kind === "signed") writer.signed(each.number);
          else if (each.kind === "bytes") writer.bytes(each.bytes);
          else writer.text(each.text);
        }
      });
      const reader = new BinaryReader(bytes);
      for (const each of values) {
        if (each.kind === "number") expect(reader.number()).toBe(each.number);
        else if (each.kind === "signed") expect(reader.signed()).toBe(each.number);
        else if (each.kind === "bytes") expect(reader.bytes()).toEqual(each.bytes);
        else expect(reader.text()).toBe(each.text);
      }
      expect(reader.isAtEnd).toBe(true);
    }),
  );
});

test("bytes that are read are a copy", () => {
  const bytes = Uint8Array.from([2, 7, 8]);
  const found = new BinaryReader(bytes).bytes();
  bytes.fill(0);
  expect([...found]).toEqual([7, 8]);
});

test.each([-1, 0.5, NaN, Infinity, 2 ** 53])("%d is no number to write", (value) => {
  expect(() =>
    written((writer) => {
      writer.number(value);
    }),
  ).toThrow("safe integer");
});

describe("a reader refuses", () => {
  test.each<[string, string, (reader: BinaryReader) => unknown]>([
    ["nothing, where a number should be", "", (reader) => reader.number()],
    ["a number without an end", "ff", (reader) => reader.number()],
    ["2^53", "8080808080808010", (reader) => reader.number()],
    ["a number of nine bytes", "ffffffffffffffff01", (reader) => reader.number()],
    ["a number that is longer than it need be", "8000", (reader) => reader.number()],
    ["300 with a zero behind", "ac8200", (reader) => reader.number()],
    ["very many continued zeros", `${"80".repeat(400)}01`, (reader) => reader.number()],
    ["a sign of 2", "0205", (reader) => reader.signed()],
    ["minus zero", "0100", (reader) => reader.signed()],
    ["a sign without a number", "01", (reader) => reader.signed()],
    ["a text that ends too early", "0341", (reader) => reader.text()],
    ["bytes of a length beyond all memory", "ffffffffffffff0f", (reader) => reader.bytes()],
  ])("%s", (_, bytes, read) => {
    expect(() => read(new BinaryReader(unhex(bytes)))).toThrow(
      expect.objectContaining({ code: "STORE_INVALID" }),
    );
  });

  test("any bytes that no writer gives for what it reads of them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const reader = new BinaryReader(bytes);
        let value: number;
        try {
          value = reader.signed();
        } catch (error) {
          expect(error).toMatchObject({ code: "STORE_INVALID" });
          return;
        }
        const again = written((writer) => {
          writer.signed(value);
        });
        expect(hex(bytes.subarray(0, again.length))).toBe(hex(again));
      }),
      { numRuns: 2000 },
    );
  });
});
