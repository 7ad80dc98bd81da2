import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString, toByteString } from "../../src/base/bytes.ts";
import {
  clearBytesOf,
  decodeSegment,
  encodeSegment,
  type SegmentContent,
} from "../../src/segment/segment-record.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { pack, plainOf } from "./_unpack.ts";
import vectors from "../../fixtures/vectors/record.json" with { type: "json" };
import { hex, join, unhex, utf8, u32 } from "../support/noble.ts";
import { varint } from "../support/noble-record.ts";

type Vector = (typeof vectors.segments)[number];

function entryOf(entry: Vector["entries"][number]): LayerEntry {
  return {
    path: asByteString(entry.path),
    type: entry.type as LayerEntry["type"],
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: { seconds: entry.mtime[0]!, nanoseconds: entry.mtime[1]! },
    linkTarget: asByteString(entry.linkTarget),
    deviceMajor: entry.device[0]!,
    deviceMinor: entry.device[1]!,
    xattrs:
      entry.xattrs === null
        ? undefined
        : new Map(
            (entry.xattrs as [string, string][]).map(([name, value]) => [asByteString(name), unhex(value)]),
          ),
    body:
      entry.body === null
        ? undefined
        : {
            sizeBytes: entry.body.sizeBytes,
            runs: entry.body.runs.map(([fileBlock, segmentBlock, blockCount]) => ({
              fileBlock: fileBlock!,
              segmentBlock: segmentBlock!,
              blockCount: blockCount!,
            })),
          },
  };
}

function contentOf({ chunkCount, chunks, entries }: Vector): SegmentContent {
  return {
    chunkCount,
    ordinals: Uint32Array.from(chunks, ({ ordinal }) => ordinal),
    names: join(...chunks.map(({ name }) => unhex(name))),
    keys: join(...chunks.map(({ key }) => unhex(key))),
    plainDigests: join(...chunks.map(({ plainDigest }) => unhex(plainDigest))),
    entries: pack(entries.map(entryOf)),
  };
}

describe.each(vectors.segments)("the vector $name", (vector) => {
  test("is what we write, and is read to the same content", () => {
    const parts = encodeSegment(contentOf(vector));
    expect(hex(parts.clear)).toBe(vector.clear);
    expect(hex(parts.secrets)).toBe(vector.secrets);
    expect(clearBytesOf(unhex(vector.record))).toBe(vector.clear.length / 2);
    const found = decodeSegment(parts);
    expect(found).toEqual(contentOf(vector));
    expect(Array.from(found.entries, plainOf)).toEqual(vector.entries.map(entryOf));
  });
});

const byte = fc.uint8Array({ maxLength: 40 }).map(toByteString);
const small = fc.oneof(fc.nat(300), fc.nat(2 ** 32 - 1));
const anyEntry = fc.record({
  path: byte,
  type: fc.constantFrom("file", "dir", "symlink", "hardlink", "char", "block", "fifo" as const),
  mode: fc.nat(0o7777),
  uid: small,
  gid: small,
  mtime: fc.record({
    seconds: fc.maxSafeInteger().map((seconds) => (seconds === 0 ? 0 : seconds)),
    nanoseconds: fc.nat(999_999_999),
  }),
  linkTarget: byte,
  deviceMajor: small,
  deviceMinor: small,
  xattrs: fc.option(
    fc
      .array(fc.tuple(byte, fc.uint8Array({ maxLength: 300 })), { maxLength: 4 })
      .map((pairs) => new Map(pairs)),
    { nil: undefined },
  ),
  runs: fc.array(fc.record({ fileBlock: small, segmentBlock: small, blockCount: small }), { maxLength: 4 }),
  sizeBytes: fc.maxSafeNat(),
});
const content = fc
  .record({
    picked: fc.uniqueArray(fc.nat(500), { maxLength: 12 }),
    more: fc.nat(100),
    entries: fc.array(anyEntry, { maxLength: 12 }),
  })
  .map(({ picked, more, entries }): Omit<SegmentContent, "entries"> & { entries: LayerEntry[] } => {
    const ordinals = Uint32Array.from(picked.sort((left, right) => left - right));
    const digests = (factor: number): Uint8Array =>
      Uint8Array.from({ length: ordinals.length * 32 }, (_, at) => at * factor);
    return {
      chunkCount: (ordinals.at(-1) ?? -1) + 1 + more,
      ...{ ordinals, names: digests(3), keys: digests(5), plainDigests: digests(7) },
      entries: entries.map(({ runs, sizeBytes, ...entry }) => ({
        ...entry,
        body: entry.type === "file" ? { sizeBytes, runs } : undefined,
      })),
    };
  });

test("any content is read as it was written", () => {
  fc.assert(
    fc.property(content, (any) => {
      const parts = encodeSegment({ ...any, entries: pack(any.entries) });
      expect(clearBytesOf(join(parts.clear, parts.secrets))).toBe(parts.clear.length);
      const found = decodeSegment(parts);
      expect({ ...found, entries: Array.from(found.entries, plainOf) }).toEqual(any);
    }),
  );
});

describe("the form of a record", () => {
  const vector = vectors.segments[1]!;
  const whole = unhex(vector.record);

  const changed = (offset: number, bytes: Uint8Array): Uint8Array => {
    const copy = Uint8Array.from(whole);
    copy.set(bytes, offset);
    return copy;
  };

  test.each<[string, Uint8Array]>([
    ["empty", new Uint8Array(0)],
    ["shorter than its header", whole.subarray(0, 23)],
    ["of another kind", changed(0, utf8("LIMGMFST"))],
    ["of version 0", changed(8, u32(0))],
    ["of version 2", changed(8, u32(2))],
    ["with chunks of another size", changed(12, u32(262_144))],
    ["shorter than its table", whole.subarray(0, vector.clear.length / 2 - 1)],
    ["with a table beyond all memory", changed(20, u32(0xffffffff))],
  ])("is refused that is %s", (_, bytes) => {
    expect(() => clearBytesOf(bytes)).toThrow(expect.objectContaining({ code: "STORE_INVALID" }));
  });

  const parts = { clear: unhex(vector.clear), secrets: unhex(vector.secrets) };
  const at = (offset: number, bytes: Uint8Array): Uint8Array => {
    const copy = Uint8Array.from(parts.clear);
    copy.set(bytes, offset);
    return copy;
  };
  const behindKeys = (bytes: Uint8Array): Uint8Array => join(parts.secrets.subarray(0, 128), bytes);
  const entryStart = join(varint(1), varint(1));

  test.each<[string, { clear?: Uint8Array; secrets?: Uint8Array }]>([
    ["an ordinal that does not ascend", { clear: at(24, u32(2)) }],
    ["an ordinal at the chunk count", { clear: at(60, u32(3)) }],
    ["keys that end too early", { secrets: parts.secrets.subarray(0, 127) }],
    ["no entries", { secrets: behindKeys(new Uint8Array(0)) }],
    ["more entries than there are", { secrets: behindKeys(varint(2 ** 40)) }],
    ["an unknown type", { secrets: behindKeys(join(varint(1), varint(7))) }],
    ["a path that shares more than there is", { secrets: behindKeys(join(entryStart, varint(1))) }],
    ["bytes behind the entries", { secrets: join(parts.secrets, new Uint8Array(1)) }],
  ])("with %s is refused also behind a seal that fits", (_, change) => {
    expect(() => decodeSegment({ ...parts, ...change })).toThrow(
      expect.objectContaining({ code: "STORE_INVALID" }),
    );
  });

  test("cut anywhere in its secrets is refused", () => {
    for (let length = 0; length < parts.secrets.length; length++)
      expect(() => decodeSegment({ ...parts, secrets: parts.secrets.subarray(0, length) })).toThrow(
        expect.objectContaining({ code: "STORE_INVALID" }),
      );
  });

  test("is not made of digests that are too few", () => {
    expect(() => encodeSegment({ ...contentOf(vector), keys: new Uint8Array(32) })).toThrow("digests");
  });
});
