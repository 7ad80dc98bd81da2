import { describe, expect, it } from "vitest";
import type { RawHeader } from "./build.ts";
import {
  GNU_MAGIC,
  USTAR_MAGIC,
  base256,
  errorOf,
  member,
  parseOne,
  parseParts,
  rawHeader,
} from "./build.ts";

const STAR: RawHeader = { magic: USTAR_MAGIC, patches: [[508, "tar\0"]] };

describe("numbers in header fields", () => {
  it.each<[string, string, number]>([
    ["zero padded, NUL", "0001750\0", 1000],
    ["zero padded, space", "0001750 ", 1000],
    ["space padded", "   1750\0", 1000],
    ["NUL padded in front", "\x00\x0001750 ", 1000],
    ["ended twice", "001750 \0", 1000],
    ["full width, no end", "00001750", 1000],
    ["junk behind a NUL", "1750\0zzz", 1000],
    ["blank", "        ", 0],
    ["unused", "\0\0\0\0\0\0\0\0", 0],
    ["base-256", base256(1000n, 8), 1000],
    ["base-256 at the limit", base256(2n ** 32n - 1n, 8), 2 ** 32 - 1],
  ])("reads uid and gid: %s", (_, field, value) => {
    expect(parseOne(member({ uid: field }))).toMatchObject({ uid: value, gid: 0 });
    expect(parseOne(member({ gid: field }))).toMatchObject({ uid: 0, gid: value });
  });

  it.each<[string, string, string]>([
    ["a letter", "000x750\0", "no number"],
    ["the digit 8", "0001780\0", "no number"],
    ["a minus", "-000001\0", "no number"],
    ["digits behind a space", "17 50\0\0\0", "no number"],
    ["base-256 2^32, which would wrap to root", base256(2n ** 32n, 8), "4294967296"],
    ["base-256 -1", base256(-1n, 8), "-1"],
    ["base-256 beyond 2^53", base256(2n ** 53n, 8), "a number above 2^53 - 1"],
  ])("refuses a uid or gid of %s, naming field and path", (_, field, found) => {
    for (const name of ["uid", "gid"]) {
      const error = errorOf(() => parseParts(member({ name: "some/path", [name]: field })));
      expect(error.code).toBe("TAR_INVALID");
      expect(error.message).toContain(`${name} of "some/path": expected 0 to 4294967295, found ${found}`);
    }
  });

  it.each<[string, number]>([
    [base256(-1n, 12), -1],
    [base256(-(2n ** 33n), 12), -(2 ** 33)],
    [base256(2n ** 40n, 12), 2 ** 40],
    [base256(BigInt(Number.MAX_SAFE_INTEGER), 12), Number.MAX_SAFE_INTEGER],
    [base256(BigInt(Number.MIN_SAFE_INTEGER), 12), Number.MIN_SAFE_INTEGER],
    ["77777777777\0", 8 ** 11 - 1],
    ["777777777777", 8 ** 12 - 1],
  ])("reads an mtime field %#", (field, seconds) => {
    expect(parseOne(member({ mtime: field })).mtime).toEqual({ seconds, nanoseconds: 0 });
  });

  it.each([base256(2n ** 53n, 12), base256(-(2n ** 60n), 12), "12345678\0xx9", "yesterday\0\0\0"])(
    "refuses an mtime field that is no safe integer %#",
    (field) => {
      if (field.startsWith("1")) expect(parseParts(member({ mtime: "12345670\0xx9" }))).toHaveLength(1);
      expect(errorOf(() => parseParts(member({ mtime: field }))).message).toMatch(/mtime of "f": expected/);
    },
  );

  it("reads a base-256 size", () => {
    const [parsed] = parseParts(member({ size: base256(5n, 12) }, "hello"));
    expect(parsed?.entry.sizeBytes).toBe(5);
    expect(parsed?.body).toEqual(new Uint8Array([0x68, 0x65, 0x6c, 0x6c, 0x6f]));
  });

  it.each<[string, string, string]>([
    ["16 TiB", base256(2n ** 44n, 12), "FILE_TOO_LARGE"],
    ["2^62", base256(2n ** 62n, 12), "FILE_TOO_LARGE"],
    ["2^90", base256(2n ** 90n, 12), "FILE_TOO_LARGE"],
    ["-1", base256(-1n, 12), "TAR_INVALID"],
    ["no number", "zzzzzzzzzzz\0", "TAR_INVALID"],
  ])("refuses a size of %s", (_, size, code) => {
    const error = errorOf(() => parseParts(rawHeader({ size })));
    expect(error.code).toBe(code);
    expect(error.message).toContain('size of "f"');
  });

  it("keeps the low 12 bits of mode", () => {
    expect(parseOne(member({ mode: 0o104755 })).mode).toBe(0o4755);
    expect(errorOf(() => parseParts(member({ mode: "rwxr-xr-" }))).message).toContain('mode of "f"');
  });
});

describe("checksum", () => {
  it("accepts the signed sum of old tars", () => {
    const header = rawHeader({ name: "\xff\xfe" });
    const field = Number.parseInt(String.fromCharCode(...header.subarray(148, 154)), 8) - 2 * 256;
    const signed = rawHeader({ name: "\xff\xfe", checksum: `${field.toString(8).padStart(6, "0")}\0 ` });
    expect(parseOne(signed).path).toBe("\xff\xfe");
  });

  it.each([" 01234\0 ", "zzzzzz\0 ", "\0\0\0\0\0\0\0\0"])("refuses %j", (checksum) => {
    const error = errorOf(() => parseParts(member({}, "x"), rawHeader({ checksum })));
    expect(error.code).toBe("TAR_INVALID");
    expect(error.message).toMatch(
      /^layer 3 \(sha256:ab\): tar offset 1024: header checksum: expected .+, found 0o\d+$/,
    );
    expect(error.details).toMatchObject({ layer: "layer 3 (sha256:ab)", offsetBytes: 1024 });
  });
});

describe("paths in header fields", () => {
  it.each<[string, RawHeader, string]>([
    ["ustar prefix", { name: "name", prefix: "some/dir" }, "some/dir/name"],
    [
      "full name and prefix",
      { name: "n".repeat(100), prefix: "p".repeat(155) },
      `${"p".repeat(155)}/${"n".repeat(100)}`,
    ],
    ["ustar of a careless version", { name: "a", prefix: "p", magic: "ustar\0\0\0" }, "p/a"],
    ["GNU, whose prefix area holds times", { name: "name", prefix: "12345670123", magic: GNU_MAGIC }, "name"],
    ["v7, which has no prefix", { name: "name", prefix: "junk", magic: "" }, "name"],
    [
      "star, whose prefix is shorter",
      { ...STAR, name: "n", prefix: `${"p".repeat(131)}12345670123\0` },
      `${"p".repeat(131)}/n`,
    ],
    ["bytes in no encoding", { name: "\xff\xc3\x28" }, "\xff\xc3\x28"],
  ])("reads %s", (_, header, path) => {
    expect(parseOne(rawHeader(header)).path).toBe(path);
  });

  it("refuses an entry without a path", () => {
    const error = errorOf(() => parseParts(rawHeader({ name: "" })));
    expect(error).toMatchObject({ code: "TAR_INVALID" });
    expect(error.message).toContain("path: expected one, found none");
  });
});

describe("types", () => {
  it.each<[string, RawHeader, object]>([
    ["0", { type: "0" }, { type: "file" }],
    ["NUL", { type: "\0", magic: "" }, { type: "file" }],
    ["NUL with a slash", { type: "\0", name: "d/", magic: "" }, { type: "dir", path: "d/" }],
    ["0 with a slash", { type: "0", name: "d/" }, { type: "file", path: "d/" }],
    ["7", { type: "7" }, { type: "file" }],
    ["1", { type: "1", link: "t" }, { type: "hardlink", linkTarget: "t" }],
    ["2", { type: "2", link: "t".repeat(100) }, { type: "symlink", linkTarget: "t".repeat(100) }],
    ["3", { type: "3", devmajor: 5, devminor: 1 }, { type: "char", deviceMajor: 5, deviceMinor: 1 }],
    [
      "4",
      { type: "4", devmajor: 8, devminor: base256(2n ** 20n, 8) },
      { type: "block", deviceMinor: 2 ** 20 },
    ],
    ["4 of v7, which has no device fields", { type: "4", magic: "", devmajor: 8 }, { deviceMajor: 0 }],
    ["5", { type: "5", name: "d/" }, { type: "dir" }],
    ["6", { type: "6" }, { type: "fifo" }],
    ["0 with a link name", { type: "0", link: "t", devmajor: 3 }, { linkTarget: "", deviceMajor: 0 }],
  ])("reads type %s", (_, header, expected) => {
    expect(parseOne(rawHeader(header))).toMatchObject(expected);
  });

  it.each(["1", "2", "3", "4", "5", "6"])("takes no body for type %s, whatever its size says", (type) => {
    const parsed = parseParts(rawHeader({ type, size: 4096, link: "t" }), member({ name: "next" }, "x"));
    expect(parsed.map(({ entry }) => [entry.path, entry.sizeBytes])).toEqual([
      ["f", 0],
      ["next", 1],
    ]);
  });

  it.each(["8", "9", "A", "D", "M", "N", "Z", "\xff", " "])(
    "refuses type %j, naming it and the path",
    (type) => {
      const error = errorOf(() => parseParts(rawHeader({ type, name: "odd/one" })));
      expect(error.code).toBe("FILE_TYPE_UNSUPPORTED");
      expect(error.message).toContain('type of "odd/one": expected one of');
    },
  );

  it("passes over a GNU volume label with its body", () => {
    expect(parseParts(member({ type: "V", name: "label" }, "x"), member({ name: "g" }))).toHaveLength(1);
  });

  it("refuses a device number that is none", () => {
    const error = errorOf(() => parseParts(rawHeader({ type: "3", devmajor: base256(-1n, 8) })));
    expect(error.message).toContain('devmajor of "f": expected 0 to 4294967295, found -1');
  });
});
