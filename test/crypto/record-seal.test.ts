import { readFileSync } from "node:fs";

import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asCustomerKey } from "../../src/crypto/customer-key.ts";
import { openRecord, recordNameOf, sealRecord, type RecordParts } from "../../src/crypto/record-seal.ts";
import vectors from "../../fixtures/vectors/record.json" with { type: "json" };
import { hex, join, unhex } from "../support/noble.ts";
import {
  conversionIdentityWithNoble,
  conversionSecretsWithNoble,
  sealRecordWithNoble,
  segmentIdentityWithNoble,
  segmentPartsWithNoble,
} from "../support/noble-record.ts";

const KEY = asCustomerKey(unhex(vectors.customerKey));
const OTHER_KEY = asCustomerKey(new Uint8Array(32).fill(1));
const NAME = recordNameOf(new Uint8Array(80), KEY);
const OTHER_NAME = recordNameOf(new Uint8Array(80).fill(1), KEY);

const ALL = [
  ...vectors.segments.map((vector) => ({
    ...vector,
    madeIdentity: segmentIdentityWithNoble(vector),
    parts: segmentPartsWithNoble(vector),
  })),
  ...vectors.conversions.map((vector) => ({
    ...vector,
    madeIdentity: conversionIdentityWithNoble({ record: vector.imageRecord, salt: vector.salt }),
    parts: {
      clear: new Uint8Array(0),
      secrets: conversionSecretsWithNoble(vector.manifestId, vector.clampedTimeCount),
    },
  })),
];

describe.each(ALL)("the vector $name", ({ madeIdentity, parts, ...vector }) => {
  test("is what noble computes", () => {
    expect(hex(madeIdentity)).toBe(vector.identity);
    expect(hex(parts.secrets)).toBe(vector.secrets);
    const noble = sealRecordWithNoble({
      customerKey: unhex(vectors.customerKey),
      identity: madeIdentity,
      ...parts,
    });
    expect(noble.name).toBe(vector.recordName);
    expect(hex(noble.contentMac)).toBe(vector.contentMac);
    expect(hex(noble.sealingKey)).toBe(vector.sealingKey);
    expect(hex(noble.bytes)).toBe(vector.record);
  });

  test("is what we name and seal, and opens to the same parts", () => {
    const name = recordNameOf(unhex(vector.identity), KEY);
    expect(name).toBe(vector.recordName);
    expect(hex(sealRecord(name, parts, KEY))).toBe(vector.record);
    const record = { bytes: unhex(vector.record), clearBytes: parts.clear.length };
    expect(openRecord(name, record, KEY)).toEqual(parts);
  });
});

test("any parts open as they were sealed, and with nothing else", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(bytes, bytes, secret, (clear, secrets, keyBytes) => {
      const key = asCustomerKey(keyBytes);
      const name = recordNameOf(new Uint8Array(80), key);
      const sealed = sealRecord(name, { clear, secrets }, key);
      const identity = new Uint8Array(80);
      const noble = sealRecordWithNoble({ customerKey: keyBytes, identity, clear, secrets });
      expect(hex(sealed)).toBe(hex(noble.bytes));
      const record = { bytes: sealed, clearBytes: clear.length };
      expect(openRecord(name, record, key)).toEqual({ clear, secrets });
      expect(openRecord(OTHER_NAME, record, key)).toBeUndefined();
      expect(openRecord(name, record, OTHER_KEY)).toBeUndefined();
      // Bytes of the clear part that are taken for others, or the other way round.
      expect(openRecord(name, { bytes: sealed, clearBytes: clear.length + 1 }, key)).toBeUndefined();
      expect(openRecord(name, { bytes: sealed, clearBytes: 2 ** 40 }, key)).toBeUndefined();
    }),
  );
});

const SAMPLE: RecordParts = { clear: new Uint8Array(40).fill(7), secrets: new Uint8Array(70).fill(9) };
const SEALED = sealRecord(NAME, SAMPLE, KEY);
const open = (bytes: Uint8Array): RecordParts | undefined => openRecord(NAME, { bytes, clearBytes: 40 }, KEY);

test("no record opens of which a bit is another, or an end is missing, or that goes on", () => {
  expect(open(SEALED)).toEqual(SAMPLE);
  for (let at = 0; at < SEALED.length; at++) {
    for (const bit of [1, 128]) {
      const changed = Uint8Array.from(SEALED);
      changed[at]! ^= bit;
      expect(open(changed)).toBeUndefined();
    }
    expect(open(SEALED.subarray(0, at))).toBeUndefined();
  }
  expect(open(join(SEALED, new Uint8Array(1)))).toBeUndefined();
});

test("parts of two records of one customer do not make a third", () => {
  const other = sealRecord(NAME, { ...SAMPLE, secrets: new Uint8Array(70).fill(8) }, KEY);
  for (const at of [40, 72, SEALED.length - 16])
    expect(open(join(SEALED.subarray(0, at), other.subarray(at)))?.secrets).toEqual(
      at === 40 ? new Uint8Array(70).fill(8) : undefined,
    );
});

test("a record is longer than its parts by a MAC and a tag, and shows no secret", () => {
  expect(SEALED.length).toBe(40 + 32 + 70 + 16);
  expect(hex(SEALED.subarray(0, 40))).toBe(hex(SAMPLE.clear));
  expect(hex(SEALED.subarray(40))).not.toContain("09".repeat(4));
});

test("names differ by identity and by key, and none of them says the other", () => {
  expect(NAME).toMatch(/^[0-9a-f]{64}$/);
  expect(new Set([NAME, OTHER_NAME, recordNameOf(new Uint8Array(80), OTHER_KEY)]).size).toBe(3);
});

test("the page of the format has the names and MACs of the vectors", () => {
  const page = readFileSync("docs/format/record.md", "utf8");
  for (const { name, record, recordName, contentMac } of [...vectors.segments, ...vectors.conversions])
    expect(page).toContain(`| ${name} | ${record.length / 2} | ${recordName} | ${contentMac} |`);
});
