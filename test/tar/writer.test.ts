import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { asByteString, toHex } from "../../src/base/bytes.ts";
import type { SparseRegion, TarEntry } from "../../src/tar/entry.ts";
import { TAR_END, encodeTarEntry, tarPadding } from "../../src/tar/writer.ts";
import type { Parsed } from "./build.ts";
import { concat, latin1, parseTar } from "./build.ts";

const PLAIN: TarEntry = {
  path: asByteString("f"),
  type: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  sizeBytes: 0,
  linkTarget: asByteString(""),
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: undefined,
  sparseRegions: undefined,
};

const bytesOf = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .uint8Array({ minLength: min, maxLength: max })
    .map((bytes) => String.fromCharCode(...bytes.map((byte) => (byte === 0 ? 1 : byte))));

const pathBytes = fc
  .oneof(
    bytesOf(1, 300),
    fc.stringMatching(/^[a-z/.]{1,300}$/),
    fc.stringMatching(/^[a-z]{1,200}\/[a-z]{90,110}$/),
  )
  .map((path) => asByteString(path));

const timestamp = fc
  .record({
    seconds: fc.oneof(
      fc.maxSafeInteger(),
      fc.integer({ min: -3, max: 3 }),
      fc.constantFrom(8 ** 11 - 1, 8 ** 11),
    ),
    nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
  })
  .filter(({ seconds, nanoseconds }) => seconds > Number.MIN_SAFE_INTEGER || nanoseconds === 0);

const id = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  fc.constantFrom(0, 8 ** 7 - 1, 8 ** 7, 2 ** 32 - 1),
);

const xattrs = fc.option(
  fc
    .array(fc.tuple(bytesOf(1, 40), fc.uint8Array({ maxLength: 100 })), { minLength: 1, maxLength: 5 })
    .map((pairs) => new Map(pairs.map(([name, value]) => [asByteString(name), value]))),
  { nil: undefined },
);

const common = { mode: fc.integer({ min: 0, max: 0o7777 }), uid: id, gid: id, mtime: timestamp, xattrs };

const sparseFile = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 600 })), { maxLength: 90 })
  .map((pairs) => {
    const regions: SparseRegion[] = [];
    let at = 0;
    for (const [gap, sizeBytes] of pairs) {
      regions.push({ offsetBytes: at + gap, sizeBytes });
      at += gap + sizeBytes;
    }
    return { sizeBytes: at + 5, sparseRegions: regions };
  });

const entries: fc.Arbitrary<TarEntry> = fc
  .record({
    ...common,
    path: pathBytes,
    link: fc.oneof(bytesOf(0, 250), fc.stringMatching(/^[a-z]{95,105}$/)),
    major: id,
    minor: id,
    file: fc.oneof(fc.record({ sizeBytes: fc.nat(2000), sparseRegions: fc.constant(undefined) }), sparseFile),
    type: fc.constantFrom("file", "dir", "symlink", "hardlink", "char", "block", "fifo"),
  })
  .map(({ link, major, minor, file, ...rest }): TarEntry => {
    const isDevice = rest.type === "char" || rest.type === "block";
    const isLink = rest.type === "symlink" || rest.type === "hardlink";
    return {
      ...PLAIN,
      ...rest,
      ...(rest.type === "file" ? file : {}),
      linkTarget: asByteString(isLink ? link : ""),
      deviceMajor: isDevice ? major : 0,
      deviceMinor: isDevice ? minor : 0,
    };
  });

function bodyOf(entry: TarEntry): Uint8Array {
  const size = entry.sparseRegions?.reduce((sum, region) => sum + region.sizeBytes, 0) ?? entry.sizeBytes;
  return new Uint8Array(size).map((_, i) => i % 251);
}

function encode(list: readonly TarEntry[]): Uint8Array {
  const parts = list.flatMap((entry) => {
    const body = bodyOf(entry);
    return [encodeTarEntry(entry), body, tarPadding(body.length)];
  });
  return concat(...parts, TAR_END);
}

/** Map equality of vitest ignores order, which is part of the contract. */
const listed = ({ entry, body }: Parsed): unknown => ({
  ...entry,
  body,
  xattrs: entry.xattrs && [...entry.xattrs].map(([name, value]) => [name, toHex(value)]),
});

describe("encodeTarEntry", () => {
  it("is undone by TarParser, whatever the entries and the slicing", () => {
    fc.assert(
      fc.property(
        fc.array(entries, { maxLength: 5 }),
        fc.integer({ min: 1, max: 1500 }),
        (list, pieceBytes) => {
          const tar = encode(list);
          expect(tar.length % 512).toBe(0);
          const expected = list.map((entry) => listed({ entry, body: bodyOf(entry) }));
          expect(parseTar(tar, pieceBytes).map(listed)).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("is a function of the entry", () => {
    fc.assert(
      fc.property(entries, (entry) => {
        expect(encodeTarEntry({ ...entry })).toEqual(encodeTarEntry(entry));
      }),
      { numRuns: 50 },
    );
  });

  it.each<[string, Partial<TarEntry>]>([
    ["a plain file", {}],
    ["a name of 100 bytes", { path: asByteString("n".repeat(100)) }],
    ["a path of 255 bytes that splits", { path: asByteString(`${"p".repeat(155)}/${"n".repeat(99)}`) }],
    [
      "the largest octal numbers",
      {
        uid: 8 ** 7 - 1,
        gid: 8 ** 7 - 1,
        mtime: { seconds: 8 ** 11 - 1, nanoseconds: 0 },
        sizeBytes: 8 ** 11 - 1,
      },
    ],
    ["a device of large numbers", { type: "char", deviceMajor: 2 ** 31, deviceMinor: 2 ** 32 - 1 }],
  ])("needs one block for %s", (_, part) => {
    expect(encodeTarEntry({ ...PLAIN, ...part })).toHaveLength(512);
  });

  it.each<[string, Partial<TarEntry>, string]>([
    ["a name of 101 bytes", { path: asByteString("n".repeat(101)) }, `111 path=${"n".repeat(101)}\n`],
    ["a name beyond ASCII", { path: asByteString("\xff") }, "9 path=\xff\n"],
    [
      "a long directory, whose split would leave no name",
      { type: "dir", path: asByteString(`${"p".repeat(100)}/`) },
      `111 path=${"p".repeat(100)}/\n`,
    ],
    [
      "a link target of 101 bytes",
      { type: "symlink", linkTarget: asByteString("t".repeat(101)) },
      `115 linkpath=${"t".repeat(101)}\n`,
    ],
    ["ids of eight octal digits", { uid: 8 ** 7, gid: 2 ** 32 - 1 }, "15 uid=2097152\n18 gid=4294967295\n"],
    ["a file of 8 GiB", { sizeBytes: 8 ** 11 }, "19 size=8589934592\n"],
    ["nanoseconds", { mtime: { seconds: 1, nanoseconds: 1_000 } }, "18 mtime=1.000001\n"],
    ["a time below zero", { mtime: { seconds: -2, nanoseconds: 500_000_000 } }, "14 mtime=-1.5\n"],
    ["a time past 2242", { mtime: { seconds: 8 ** 11, nanoseconds: 0 } }, "20 mtime=8589934592\n"],
    [
      "attributes in their order",
      {
        xattrs: new Map([
          [asByteString("b"), latin1("\0\n")],
          [asByteString("a"), latin1("")],
        ]),
      },
      "21 SCHILY.xattr.b=\0\n\n19 SCHILY.xattr.a=\n",
    ],
    [
      "an attribute with = in its name",
      { xattrs: new Map([[asByteString("a=b"), latin1("v")]]) },
      "31 LIBARCHIVE.xattr.a%3db=dg==\n",
    ],
  ])("writes a PAX record for %s", (_, part, records) => {
    const tar = encodeTarEntry({ ...PLAIN, ...part });
    expect(String.fromCharCode(...tar.subarray(512, 512 + records.length))).toBe(records);
    expect(tar).toHaveLength(1536);
  });

  it("refuses what no tar can hold, as a bug of the caller", () => {
    for (const part of [
      { path: asByteString("") },
      { path: asByteString("a\0b") },
      { linkTarget: asByteString("\0") },
    ]) {
      expect(() => encodeTarEntry({ ...PLAIN, ...part })).toThrow(/no NUL/);
    }
  });
});

describe("tarPadding and sparse maps", () => {
  it("fill whole blocks", () => {
    expect([0, 1, 511, 512, 513].map((size) => tarPadding(size).length)).toEqual([0, 511, 1, 0, 511]);
  });

  it.each<[string, SparseRegion[], number, string]>([
    ["a region at the end", [{ offsetBytes: 10, sizeBytes: 3 }], 13, "1\n10\n3\n"],
    ["a hole at the end, marked for GNU tar", [{ offsetBytes: 10, sizeBytes: 3 }], 20, "2\n10\n3\n20\n0\n"],
    ["a hole alone", [], 20, "1\n20\n0\n"],
    ["nothing", [], 0, "1\n0\n0\n"],
  ])("write the map of %s", (_, regions, sizeBytes, text) => {
    const tar = encodeTarEntry({ ...PLAIN, sizeBytes, sparseRegions: regions });
    expect(tar.subarray(-512)).toEqual(latin1(text.padEnd(512, "\0")));
  });
});
