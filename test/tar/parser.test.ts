import { describe, expect, it } from "vitest";
import { TarParser } from "../../src/tar/parser.ts";
import { TAR_END } from "../../src/tar/writer.ts";
import { Collector, GNU_MAGIC, concat, errorOf, latin1, member, parseTar, pax, rawHeader } from "./build.ts";

/** One of everything: extensions of all kinds, bodies around the block size, each sparse form that has states. */
const EVERYTHING = concat(
  pax([["gid", "9"]], "g"),
  ...[0, 1, 511, 512, 513, 1024, 5000].map((size) => member({ name: `size-${size}` }, "b".repeat(size))),
  pax([
    ["path", "p".repeat(700)],
    ["SCHILY.xattr.user.a", "\0\n"],
  ]),
  member({}, "pax"),
  member({ type: "L", magic: GNU_MAGIC }, "l".repeat(600) + "\0"),
  member({ type: "K", magic: GNU_MAGIC }, "k".repeat(512)),
  rawHeader({ type: "2", magic: GNU_MAGIC }),
  member({ type: "V" }, "v".repeat(100)),
  rawHeader({ name: "d/", type: "5" }),
  new Uint8Array(512),
  pax([
    ["GNU.sparse.major", "1"],
    ["GNU.sparse.minor", "0"],
    ["GNU.sparse.realsize", "99999"],
  ]),
  member({ name: "sparse" }, "2\n10\n3\n5000\n2\n".padEnd(512, "\0") + "abcde"),
  rawHeader({
    name: "old",
    type: "S",
    magic: GNU_MAGIC,
    size: 3,
    patches: [
      [386, `${"0".repeat(23)}3`],
      [482, "\x01"],
      [483, "00000010000"],
    ],
  }),
  new Uint8Array(512),
  latin1("xyz".padEnd(512, "\0")),
  member({ name: "last" }, "last"),
);

describe("slicing", () => {
  const whole = parseTar(concat(EVERYTHING, TAR_END, latin1("junk".repeat(100))));

  it("reads one of everything", () => {
    expect(whole.map(({ entry, body }) => `${entry.path.slice(0, 8)} ${entry.type} ${body.length}`)).toEqual([
      "size-0 file 0",
      "size-1 file 1",
      "size-511 file 511",
      "size-512 file 512",
      "size-513 file 513",
      "size-102 file 1024",
      "size-500 file 5000",
      "pppppppp file 3",
      "llllllll symlink 0",
      "d/ dir 0",
      "sparse file 5",
      "old file 3",
      "last file 4",
    ]);
  });

  it.each([1, 2, 3, 7, 100, 511, 512, 513, 1000, 1024, 4096, 10_240])(
    "into pieces of %i bytes changes nothing",
    (pieceBytes) => {
      expect(parseTar(concat(EVERYTHING, TAR_END, latin1("junk".repeat(100))), pieceBytes)).toEqual(whole);
    },
  );

  it("takes empty pieces", () => {
    const parser = new TarParser(new Collector(), { label: "l" });
    parser.push(new Uint8Array(0));
    parser.finish();
    expect(parser.offsetBytes).toBe(0);
  });

  it("gives bodies as views, without a copy", () => {
    const tar = member({}, "body");
    const buffers: ArrayBufferLike[] = [];
    const sink = {
      entry: () => undefined,
      body: (piece: Uint8Array) => void buffers.push(piece.buffer),
      entryEnd: () => undefined,
    };
    new TarParser(sink, { label: "l" }).push(tar);
    expect(buffers).toEqual([tar.buffer]);
    expect(buffers[0]).toBe(tar.buffer);
  });
});

describe("the end", () => {
  const file = member({ name: "a" }, "x");
  const names = (tar: Uint8Array): string[] => parseTar(tar).map(({ entry }) => entry.path);

  it.each<[string, Uint8Array, string[]]>([
    ["no byte at all", new Uint8Array(0), []],
    ["the mark alone", TAR_END, []],
    ["one zero block alone", new Uint8Array(512), []],
    ["a mark and padding", concat(file, new Uint8Array(10_240)), ["a"]],
    ["no mark", file, ["a"]],
    ["no padding", file.subarray(0, 513), ["a"]],
    ["half the padding", file.subarray(0, 700), ["a"]],
    ["one zero block at the end", concat(file, new Uint8Array(512)), ["a"]],
    [
      "a lone zero block between entries",
      concat(file, new Uint8Array(512), file, new Uint8Array(512), file),
      ["a", "a", "a"],
    ],
    ["entries behind the mark", concat(file, TAR_END, file), ["a"]],
    ["junk behind the mark", concat(file, TAR_END, latin1("junk")), ["a"]],
  ])("is found: %s", (_, tar, expected) => {
    expect(names(tar)).toEqual(expected);
  });

  it.each<[string, Uint8Array, string]>([
    [
      "a header",
      concat(file, file.subarray(0, 100)),
      "tar offset 1024: truncated header: expected 512 bytes, found 100",
    ],
    ["a zero block", concat(file, new Uint8Array(511)), "truncated header: expected 512 bytes, found 511"],
    [
      "a body",
      member({ name: "b" }, "x".repeat(1000)).subarray(0, 1000),
      'truncated body of "b": expected 1000 bytes, found 488',
    ],
    [
      "a body, before its first byte",
      member({ name: "b" }, "x").subarray(0, 512),
      'truncated body of "b": expected 1 bytes, found 0',
    ],
    [
      "an extended header",
      pax([["path", "x"]]).subarray(0, 515),
      "truncated extended header: expected 9 bytes, found 3",
    ],
    [
      "a long name",
      member({ type: "L" }, "name\0").subarray(0, 512),
      "truncated extended header: expected 5 bytes, found 0",
    ],
    [
      "an extended header's padding",
      pax([["path", "x"]]).subarray(0, 600),
      "truncated after an extended header",
    ],
    ["an extended header, which has no entry", pax([["path", "x"]]), "truncated after an extended header"],
    [
      "a long name, which has no entry",
      concat(member({ type: "L" }, "n\0"), TAR_END),
      "truncated after an extended header",
    ],
    [
      "a sparse map",
      concat(
        pax([
          ["GNU.sparse.major", "1"],
          ["GNU.sparse.minor", "0"],
          ["GNU.sparse.realsize", "9"],
        ]),
        rawHeader({ name: "s", size: 512 }),
      ),
      'truncated sparse map of "s"',
    ],
    [
      "old sparse blocks",
      rawHeader({ name: "s", type: "S", magic: GNU_MAGIC, patches: [[482, "\x01"]] }),
      'truncated sparse map of "s"',
    ],
  ])("is refused inside %s", (_, tar, message) => {
    for (const pieceBytes of [1, 512, tar.length]) {
      const error = errorOf(() => parseTar(tar, pieceBytes));
      expect(error.code).toBe("TAR_INVALID");
      expect(error.message).toContain(message);
    }
  });

  it("is refused at every cut that loses a byte of an entry", () => {
    const tar = concat(pax([["SCHILY.xattr.user.a", "v"]]), member({ name: "b" }, "x".repeat(600)));
    for (let cut = 1; cut < 1536 + 600; cut++) {
      expect(errorOf(() => parseTar(tar.subarray(0, cut), 512)).code).toBe("TAR_INVALID");
    }
    for (let cut = 1536 + 600; cut <= tar.length; cut++)
      expect(parseTar(tar.subarray(0, cut), 512)).toHaveLength(1);
  });

  it("takes what comes behind the mark into offsetBytes", () => {
    const parser = new TarParser(new Collector(), { label: "l" });
    parser.push(TAR_END);
    parser.push(latin1("junk"));
    parser.finish();
    expect(parser.offsetBytes).toBe(1028);
  });
});
