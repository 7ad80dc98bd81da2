import { describe, expect, it } from "vitest";
import { PATH_BYTES_MAX, TAR_EXTENSION_BYTES_MAX } from "../../src/base/limit.ts";
import { TAR_END } from "../../src/tar/writer.ts";
import {
  GNU_MAGIC,
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

describe("GNU long names", () => {
  const long = (type: string, name: string): Uint8Array =>
    member({ name: "././@LongLink", type, magic: GNU_MAGIC }, name);

  it("give path and link target, up to their NUL", () => {
    const path = "d/".repeat(200) + "\xff";
    const entry = parseOne(
      long("K", "target".repeat(50) + "\0junk"),
      long("L", `${path}\0`),
      rawHeader({ type: "2" }),
    );
    expect(entry).toMatchObject({ path, linkTarget: "target".repeat(50) });
  });

  it("hold for one entry, and empty ones for none", () => {
    const parsed = parseParts(
      long("L", "long\0"),
      rawHeader({}),
      rawHeader({}),
      long("L", "\0"),
      rawHeader({}),
      long("L", ""),
      rawHeader({}),
    );
    expect(parsed.map(({ entry }) => entry.path)).toEqual(["long", "f", "f", "f"]);
  });

  it("override a PAX path, as in Go", () => {
    expect(parseOne(pax([["path", "p"]]), long("L", "l\0"), rawHeader({})).path).toBe("l");
  });

  it("make an old entry a directory by their slash", () => {
    expect(parseOne(long("L", "dir/\0"), rawHeader({ type: "\0", magic: GNU_MAGIC })).type).toBe("dir");
  });
});

describe("limits", () => {
  it("takes paths of PATH_BYTES_MAX, and none longer", () => {
    const path = "p".repeat(PATH_BYTES_MAX);
    expect(parseOne(pax([["path", path]]), rawHeader({})).path.length).toBe(PATH_BYTES_MAX);
    for (const part of [
      pax([["path", `${path}p`]]),
      pax([["linkpath", `${path}p`]]),
      member({ type: "L" }, `${path}p\0`),
    ]) {
      expect(errorOf(() => parseParts(part, rawHeader({}))).code).toBe("PATH_TOO_LONG");
    }
  });

  it.each(["x", "g", "L", "K", "X"])("takes %s headers of the limit, and none larger", (type) => {
    const body = paxRecord("comment", "c".repeat(83));
    const tar = concat(member({ type }, body), rawHeader({ type: "2" }), TAR_END);
    expect(parseTar(tar, 64, body.length)).toHaveLength(1);
    const error = errorOf(() => parseTar(tar, 64, body.length - 1));
    expect(error.code).toBe("DOCUMENT_TOO_LARGE");
    expect(error.details).toMatchObject({ limitBytes: body.length - 1 });
  });

  it("has a default limit, known from the header alone", () => {
    const error = errorOf(() => parseTar(rawHeader({ type: "x", size: TAR_EXTENSION_BYTES_MAX + 1 })));
    expect(error.code).toBe("DOCUMENT_TOO_LARGE");
  });

  it("refuses an extended header whose size is none", () => {
    expect(errorOf(() => parseTar(rawHeader({ type: "x", size: "zz\0" }))).code).toBe("TAR_INVALID");
  });
});
