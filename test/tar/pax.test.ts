import { describe, expect, it } from "vitest";
import {
  concat,
  errorOf,
  member,
  parseOne,
  parseParts,
  parseTar,
  pax,
  paxRecord,
  rawHeader,
} from "./build.ts";

describe("PAX records", () => {
  it.each<[string, [string, string][], object]>([
    ["path", [["path", "a\xff/b"]], { path: "a\xff/b" }],
    ["path with = and line feeds", [["path", "a=b\n9 uid=7\n"]], { path: "a=b\n9 uid=7\n", uid: 0o12 }],
    [
      "the last value",
      [
        ["uid", "1"],
        ["uid", "2"],
      ],
      { uid: 2 },
    ],
    [
      "an empty value, which leaves the header's",
      [
        ["path", "x"],
        ["path", ""],
        ["uid", ""],
        ["mtime", ""],
        ["size", ""],
      ],
      { path: "f", uid: 0o12, mtime: { seconds: 0o17, nanoseconds: 0 } },
    ],
    [
      "ids",
      [
        ["uid", "4294967295"],
        ["gid", "4294967294"],
      ],
      { uid: 2 ** 32 - 1, gid: 2 ** 32 - 2 },
    ],
    [
      "unknown keys",
      [
        ["comment", "x\0y"],
        ["VENDOR.key", ""],
        ["atime", "zz"],
        ["__proto__", "1"],
        ["toString", "1"],
      ],
      { path: "f" },
    ],
    [
      "textual ACLs, which are left out",
      [
        ["SCHILY.acl.access", "user::rwx"],
        ["SCHILY.acl.default", "x"],
      ],
      { xattrs: undefined },
    ],
    [
      "hdrcharset, which changes nothing",
      [
        ["hdrcharset", "BINARY"],
        ["path", "\xfe"],
      ],
      { path: "\xfe" },
    ],
  ])("reads %s", (_, records, expected) => {
    expect(parseOne(pax(records), rawHeader({ uid: 0o12, mtime: 0o17 }))).toMatchObject(expected);
  });

  it("reads the value of a record with a length of many digits", () => {
    const path = "p".repeat(99_990);
    expect(parseOne(pax([["path", path]]), rawHeader({})).path).toBe(path);
  });

  it("lets size override the header's", () => {
    const [parsed] = parseParts(pax([["size", "3"]]), member({ size: 0 }, "abc"));
    expect(parsed).toMatchObject({ entry: { sizeBytes: 3 }, body: new Uint8Array([97, 98, 99]) });
  });

  it("ignores size for what has no body", () => {
    expect(
      parseParts(pax([["size", "512"]]), rawHeader({ type: "1", link: "t" }), member({}, "x")),
    ).toHaveLength(2);
  });

  it("reads a Solaris extended header, and applies records to one entry only", () => {
    const parsed = parseParts(pax([["uid", "7"]], "X"), rawHeader({}), rawHeader({}));
    expect(parsed.map(({ entry }) => entry.uid)).toEqual([7, 0]);
  });

  it("takes the last of two headers for one entry alone, as Go does", () => {
    expect(
      parseOne(
        pax([
          ["uid", "7"],
          ["gid", "7"],
        ]),
        pax([["uid", "8"]]),
        rawHeader({}),
      ),
    ).toMatchObject({
      uid: 8,
      gid: 0,
    });
  });

  it.each<[string, string]>([
    ["a length too long", "99 path=x\n"],
    ["a length too short", "6 path=x\n"],
    ["a length of zero", "0 path=x\n"],
    ["no length", " path=x\n"],
    ["a length of letters", "zz path=x\n"],
    ["a negative length", "-10 path=x\n"],
    ["a length with a sign", "+11 path=x\n"],
    ["a length beyond all numbers", `${"9".repeat(400)} path=x\n`],
    ["a length alone", "11"],
    ["a length without a space", "10path=xx\n"],
    ["no line feed", "10 path=xx"],
    ["no equals sign", "9 pathxx\n"],
    ["no key", "6 =xx\n"],
    ["an equals sign of the next record", "7 abcd\n9 uid=7\n"],
    ["NULs behind the last record", "10 path=x\n\0\0"],
    ["a NUL in path", paxRecord("path", "a\0b")],
    ["a NUL in linkpath", paxRecord("linkpath", "a\0b")],
    ["a NUL in GNU.sparse.name", paxRecord("GNU.sparse.name", "a\0b")],
    ["a uid of 2^32", paxRecord("uid", "4294967296")],
    ["a negative gid", paxRecord("gid", "-1")],
    ["a uid beyond 2^53", paxRecord("uid", "18446744073709551616")],
    ["a uid with a fraction", paxRecord("uid", "1.5")],
    ["a hexadecimal uid", paxRecord("uid", "0x10")],
    ["a uid of spaces", paxRecord("uid", " ")],
    ["a uid of 300 digits", paxRecord("uid", "0".repeat(300))],
    ["a negative size", paxRecord("size", "-1")],
    ["an extended attribute without a name", paxRecord("SCHILY.xattr.", "v")],
    ["an extended attribute with a NUL in its name", paxRecord("SCHILY.xattr.a\0b", "v")],
    ["base64 that is none", paxRecord("LIBARCHIVE.xattr.user.a", "*")],
  ])("refuses %s", (_, records) => {
    const error = errorOf(() => parseParts(member({ type: "x" }, records), rawHeader({})));
    expect(error.code).toBe("TAR_INVALID");
  });

  it("refuses a size above the largest file", () => {
    const error = errorOf(() => parseParts(pax([["size", String(2 ** 44)]]), rawHeader({})));
    expect(error.code).toBe("FILE_TOO_LARGE");
  });
});

describe("PAX mtime", () => {
  it.each<[string, number, number]>([
    ["0", 0, 0],
    ["1600000000", 1_600_000_000, 0],
    ["1600000000.", 1_600_000_000, 0],
    ["+5", 5, 0],
    ["1.5", 1, 500_000_000],
    ["1.000000001", 1, 1],
    ["1.9999999999", 1, 999_999_999],
    ["-0", 0, 0],
    ["-1", -1, 0],
    ["-0.5", -1, 500_000_000],
    ["-1.5", -2, 500_000_000],
    ["-0.000000001", -1, 999_999_999],
    ["-0.0000000001", -1, 999_999_999],
    ["-0.9999999999", -1, 0],
    ["-1.0000000000", -1, 0],
    ["00012.30", 12, 300_000_000],
    ["9007199254740991", Number.MAX_SAFE_INTEGER, 0],
    ["-9007199254740991", Number.MIN_SAFE_INTEGER, 0],
  ])("reads %s", (text, seconds, nanoseconds) => {
    expect(parseOne(pax([["mtime", text]]), rawHeader({ mtime: 9 })).mtime).toStrictEqual({
      seconds,
      nanoseconds,
    });
  });

  it.each([
    "9007199254740992",
    "-9007199254740992",
    "-9007199254740991.5",
    "1e9",
    "1.5.5",
    ".5",
    "-",
    "1,5",
    "1.-5",
    "NaN",
    "Infinity",
    "9".repeat(255),
  ])("refuses %s", (text) => {
    const error = errorOf(() => parseParts(pax([["mtime", text]]), rawHeader({})));
    expect(error.code).toBe("TAR_INVALID");
    expect(error.message).toContain("mtime");
  });
});

describe("global PAX headers", () => {
  it("hold for all that follow, until overridden or deleted", () => {
    const parsed = parseParts(
      rawHeader({ uid: 1 }),
      pax(
        [
          ["uid", "77"],
          ["mtime", "1000"],
        ],
        "g",
      ),
      rawHeader({ uid: 1 }),
      pax([["uid", "88"]]),
      rawHeader({ uid: 1 }),
      pax([["uid", ""]]),
      rawHeader({ uid: 1 }),
      pax([["gid", "5"]], "g"),
      rawHeader({ uid: 1 }),
      pax(
        [
          ["uid", ""],
          ["mtime", "3"],
        ],
        "g",
      ),
      rawHeader({ uid: 1 }),
    );
    expect(parsed.map(({ entry }) => [entry.uid, entry.gid, entry.mtime.seconds])).toEqual([
      [1, 0, 0],
      [77, 0, 1000],
      [88, 0, 1000],
      [1, 0, 1000],
      [77, 5, 1000],
      [1, 5, 3],
    ]);
  });

  it("do not lose the local header before them, and may end the archive", () => {
    const parsed = parseParts(
      pax([["uid", "7"]]),
      pax([["gid", "8"]], "g"),
      rawHeader({}),
      pax([["gid", "9"]], "g"),
    );
    expect(parsed[0]?.entry).toMatchObject({ uid: 7, gid: 8 });
  });

  it("give extended attributes that local ones override", () => {
    const parsed = parseParts(
      pax(
        [
          ["SCHILY.xattr.user.a", "g"],
          ["SCHILY.xattr.user.b", "g"],
        ],
        "g",
      ),
      rawHeader({}),
      pax([
        ["SCHILY.xattr.user.b", "x"],
        ["SCHILY.xattr.user.c", "x"],
      ]),
      rawHeader({}),
    );
    const shown = parsed.map(({ entry }) =>
      [...(entry.xattrs ?? [])].map(([k, v]) => `${k}=${String.fromCharCode(...v)}`),
    );
    expect(shown).toEqual([
      ["user.a=g", "user.b=g"],
      ["user.a=g", "user.b=x", "user.c=x"],
    ]);
  });

  it.each(["GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.offset"])("are refused with %s", (key) => {
    expect(errorOf(() => parseParts(pax([[key, "1"]], "g"))).code).toBe("TAR_INVALID");
  });

  it("hold at most 1000 attributes", () => {
    const records = Array.from({ length: 1001 }, (_, i): [string, string] => [`SCHILY.xattr.user.${i}`, ""]);
    expect(parseParts(pax(records.slice(1), "g"), rawHeader({}))[0]?.entry.xattrs?.size).toBe(1000);
    expect(errorOf(() => parseParts(pax(records, "g"))).code).toBe("DOCUMENT_TOO_LARGE");
  });
});

describe("extended attributes", () => {
  const xattrs = (...records: [string, string][]): [string, string][] =>
    [...(parseOne(pax(records), rawHeader({})).xattrs ?? [])].map(([name, value]) => [
      name,
      String.fromCharCode(...value),
    ]);

  it.each<[string, [string, string][], [string, string][]]>([
    [
      "binary values",
      [["SCHILY.xattr.user.a", "\0\n=\xff 12 path=z\n"]],
      [["user.a", "\0\n=\xff 12 path=z\n"]],
    ],
    ["an empty value, kept as empty", [["SCHILY.xattr.user.a", ""]], [["user.a", ""]]],
    ["names that are bytes", [["SCHILY.xattr.user.\xff \n", "v"]], [["user.\xff \n", "v"]]],
    [
      "the last value, at the first place",
      [
        ["SCHILY.xattr.b", "1"],
        ["SCHILY.xattr.a", "2"],
        ["SCHILY.xattr.b", "3"],
      ],
      [
        ["b", "3"],
        ["a", "2"],
      ],
    ],
    ["libarchive's form", [["LIBARCHIVE.xattr.user.a%3D%25", "AAH/"]], [["user.a=%", "\0\x01\xff"]]],
    [
      "libarchive's form, padded and not",
      [
        ["LIBARCHIVE.xattr.a", "YQ=="],
        ["LIBARCHIVE.xattr.b", "YQ"],
      ],
      [
        ["a", "a"],
        ["b", "a"],
      ],
    ],
    [
      "both forms: SCHILY counts, first",
      [
        ["SCHILY.xattr.a", "s"],
        ["LIBARCHIVE.xattr.a", "YQ"],
      ],
      [["a", "s"]],
    ],
    [
      "both forms: SCHILY counts, last",
      [
        ["LIBARCHIVE.xattr.a", "YQ"],
        ["SCHILY.xattr.a", "s"],
      ],
      [["a", "s"]],
    ],
  ])("are read: %s", (_, records, expected) => {
    expect(xattrs(...records)).toEqual(expected);
  });

  it("own their values", () => {
    const tar = concat(pax([["SCHILY.xattr.user.a", "value"]]), rawHeader({}));
    const [parsed] = parseTar(tar);
    tar.fill(0);
    expect(parsed?.entry.xattrs?.get("user.a" as never)).toEqual(new Uint8Array([118, 97, 108, 117, 101]));
  });
});
