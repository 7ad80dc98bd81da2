// ⚡ uses: Buffer, file system, process
/** Other tars as judges: GNU tar and Python read what we write, GNU tar and tar-stream write what we read. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { pack as makePack } from "tar-stream";
import { afterAll, describe, expect, it } from "vitest";
import { asByteString, utf8ByteString } from "../../src/base/bytes.ts";
import type { TarEntry } from "../../src/tar/entry.ts";
import { TAR_END, encodeTarEntry, tarPadding } from "../../src/tar/writer.ts";
import type { Parsed } from "./build.ts";
import { concat, latin1, parseTar } from "./build.ts";

const hasGnuTar = /GNU tar/.test(spawnSync("tar", ["--version"], { encoding: "utf8" }).stdout);
const hasPython = spawnSync("python3", ["-c", "import tarfile"]).status === 0;
const NO_TAR = hasGnuTar ? "" : " (skipped: GNU tar is not installed)";
const NO_PYTHON = hasPython ? "" : " (skipped: python3 is not installed)";

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "lambda-img-tar-"));
afterAll(() => {
  fs.rmSync(scratch, { recursive: true, force: true });
});

const ENV = { ...process.env, LC_ALL: "C", TZ: "UTC0" };

/** A directory with a dense, an empty and a sparse file, links, and long and odd names. */
function makeTree(): string {
  const root = fs.mkdtempSync(path.join(scratch, "tree-"));
  const inRoot = (name: string): string => path.join(root, name);
  fs.mkdirSync(inRoot("dir"), { mode: 0o750 });
  fs.writeFileSync(inRoot("dir/dense"), "dense\n".repeat(1000));
  fs.writeFileSync(inRoot("empty"), "");
  fs.writeFileSync(Buffer.concat([Buffer.from(inRoot("odd-")), Buffer.from([0xff, 0xfe])]), "odd");
  fs.linkSync(inRoot("dir/dense"), inRoot("hard"));
  fs.symlinkSync("dir/dense", inRoot("soft"));
  const sparse = fs.openSync(inRoot("sparse"), "w");
  for (let i = 0; i < 40; i++) fs.writeSync(sparse, Buffer.alloc(4096, 65 + (i % 26)), 0, 4096, i * 65_536);
  fs.ftruncateSync(sparse, 40 * 65_536);
  fs.closeSync(sparse);
  return root;
}

/** More than v7 and ustar can hold. */
function addLongNames(root: string): void {
  const deep = path.join(root, ...Array.from({ length: 6 }, (_, i) => String(i).repeat(90)));
  fs.mkdirSync(deep, { recursive: true });
  fs.writeFileSync(path.join(deep, "long"), "long");
  fs.symlinkSync("t".repeat(300), path.join(root, "long-link"));
}

function gnuTar(root: string, options: readonly string[]): Uint8Array {
  return execFileSync(
    "tar",
    ["--create", "--sort=name", ...options, "--directory", root, "--file", "-", "."],
    {
      env: ENV,
      maxBuffer: 1 << 28,
    },
  );
}

/** The file's bytes with its holes. */
function expand({ entry, body }: Parsed): Buffer {
  if (!entry.sparseRegions) return Buffer.from(body);
  const file = Buffer.alloc(entry.sizeBytes);
  let at = 0;
  for (const region of entry.sparseRegions) {
    file.set(body.subarray(at, at + region.sizeBytes), region.offsetBytes);
    at += region.sizeBytes;
  }
  return file;
}

/** Compares every entry with the file it was made of. */
function expectTree(
  root: string,
  parsed: readonly Parsed[],
  mtime: TarEntry["mtime"] | "seconds" | "exact",
): void {
  const byPath = new Map(parsed.map((item) => [item.entry.path as string, item]));
  for (const { entry, ...rest } of parsed) {
    const file = Buffer.from(path.join(root, "x").slice(0, -1) + entry.path, "latin1");
    const stat = fs.lstatSync(file, { bigint: true });
    expect(entry.mode).toBe(Number(stat.mode) & 0o7777);
    if (typeof mtime === "object") {
      expect(entry.mtime).toEqual(mtime);
    } else {
      const nanoseconds = mtime === "exact" ? Number(stat.mtimeNs % 1_000_000_000n) : 0;
      expect(entry.mtime).toEqual({ seconds: Number(stat.mtimeNs / 1_000_000_000n), nanoseconds });
    }
    if (entry.type === "file") expect(expand({ entry, ...rest }).equals(fs.readFileSync(file))).toBe(true);
    else if (entry.type === "symlink")
      expect(Buffer.from(entry.linkTarget, "latin1")).toEqual(fs.readlinkSync(file, "buffer"));
    else if (entry.type === "hardlink") expect(byPath.get(entry.linkTarget)?.entry.type).toBe("file");
    else expect(entry.type).toBe("dir");
  }
}

describe("GNU tar writes, we read", () => {
  const FORMS: readonly [string, readonly string[], boolean, "seconds" | "exact"][] = [
    ["v7", ["--format=v7"], false, "seconds"],
    ["oldgnu", ["--format=oldgnu"], true, "seconds"],
    ["gnu", ["--format=gnu"], true, "seconds"],
    ["ustar", ["--format=ustar"], false, "seconds"],
    ["pax", ["--format=pax"], true, "exact"],
    [
      "pax without times",
      ["--format=pax", "--pax-option=delete=mtime,delete=atime,delete=ctime"],
      true,
      "seconds",
    ],
    ["gnu sparse", ["--format=gnu", "--sparse"], true, "seconds"],
    ["pax sparse 0.0", ["--format=pax", "--sparse", "--sparse-version=0.0"], true, "exact"],
    ["pax sparse 0.1", ["--format=pax", "--sparse", "--sparse-version=0.1"], true, "exact"],
    ["pax sparse 1.0", ["--format=pax", "--sparse", "--sparse-version=1.0"], true, "exact"],
  ];

  it.skipIf(!hasGnuTar).each(FORMS)(`%s, as the tree is${NO_TAR}`, (name, options, isLong, mtime) => {
    const root = makeTree();
    if (isLong) addLongNames(root);
    const tar = gnuTar(root, options);
    const parsed = parseTar(tar, 10_240);
    const count = execFileSync("tar", ["--list", "--quoting-style=escape", "--file", "-"], {
      input: tar,
      env: ENV,
    });
    expect(parsed).toHaveLength(count.toString().trimEnd().split("\n").length);
    expectTree(root, parsed, mtime);
    const sparse = parsed.find(({ entry }) => entry.path === "./sparse");
    expect(sparse?.entry.sizeBytes).toBe(40 * 65_536);
    if (name.includes("sparse")) expect(sparse?.entry.sparseRegions).toHaveLength(40);
  });

  it.skipIf(!hasGnuTar)(`owners that need base-256 or PAX${NO_TAR}`, () => {
    const root = makeTree();
    for (const format of ["gnu", "pax"]) {
      const tar = gnuTar(root, [`--format=${format}`, "--owner=:4294967294", "--group=:3000000000"]);
      for (const { entry } of parseTar(tar))
        expect([entry.uid, entry.gid]).toEqual([4_294_967_294, 3_000_000_000]);
    }
  });

  it.skipIf(!hasGnuTar)(`times below zero, beyond 2242, with nanoseconds${NO_TAR}`, () => {
    const root = makeTree();
    const cases: readonly [string, string, number, number][] = [
      ["pax", "@1600000000.123456789", 1_600_000_000, 123_456_789],
      ["pax", "@-1.5", -2, 500_000_000],
      ["pax", "@15032385535.999999999", 15_032_385_535, 999_999_999],
      ["gnu", "@-86400", -86_400, 0],
      ["gnu", "@15032385535", 15_032_385_535, 0],
    ];
    for (const [format, date, seconds, nanoseconds] of cases) {
      const tar = gnuTar(root, [`--format=${format}`, `--mtime=${date}`]);
      expectTree(root, parseTar(tar), { seconds, nanoseconds });
    }
  });

  it.skipIf(!hasGnuTar)(`a global header and a volume label${NO_TAR}`, () => {
    const root = makeTree();
    const tar = gnuTar(root, ["--format=pax", "--label=label", "--pax-option=mtime=77.5,delete=mtime"]);
    expectTree(root, parseTar(tar), { seconds: 77, nanoseconds: 500_000_000 });
    expect(parseTar(gnuTar(root, ["--format=gnu", "--label=label"]))).toHaveLength(parseTar(tar).length);
  });
});

const PLAIN: TarEntry = {
  path: asByteString("plain"),
  type: "file",
  mode: 0o640,
  uid: 1,
  gid: 2,
  mtime: { seconds: 1_600_000_000, nanoseconds: 0 },
  sizeBytes: 0,
  linkTarget: asByteString(""),
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: undefined,
  sparseRegions: undefined,
};

const OURS: readonly (readonly [TarEntry, string])[] = [
  [{ ...PLAIN, sizeBytes: 5 }, "hello"],
  [{ ...PLAIN, path: asByteString(`${"p".repeat(120)}/${"n".repeat(90)}`) }, ""],
  [{ ...PLAIN, path: asByteString("l/".repeat(300) + "long"), sizeBytes: 3 }, "abc"],
  [{ ...PLAIN, path: utf8ByteString("dir-é/"), type: "dir", mode: 0o1777 }, ""],
  [{ ...PLAIN, path: asByteString("bytes-\xff\xfe") }, ""],
  [{ ...PLAIN, path: asByteString("soft"), type: "symlink", linkTarget: asByteString("t".repeat(200)) }, ""],
  [{ ...PLAIN, path: asByteString("hard"), type: "hardlink", linkTarget: asByteString("plain") }, ""],
  [{ ...PLAIN, path: asByteString("char"), type: "char", deviceMajor: 5, deviceMinor: 1 }, ""],
  [{ ...PLAIN, path: asByteString("fifo"), type: "fifo" }, ""],
  [{ ...PLAIN, path: asByteString("ids"), uid: 2 ** 32 - 2, gid: 8 ** 7 }, ""],
  [{ ...PLAIN, path: asByteString("old"), mtime: { seconds: -3, nanoseconds: 0 } }, ""],
  [{ ...PLAIN, path: asByteString("late"), mtime: { seconds: 15_032_385_535, nanoseconds: 1 } }, ""],
  [
    { ...PLAIN, path: asByteString("xattr"), xattrs: new Map([[asByteString("user.a"), latin1("\0\n=")]]) },
    "",
  ],
  [
    {
      ...PLAIN,
      path: asByteString("holes"),
      sizeBytes: 100_000,
      sparseRegions: [{ offsetBytes: 50_000, sizeBytes: 3 }],
    },
    "xyz",
  ],
];

const OUR_TAR = concat(
  ...OURS.flatMap(([entry, body]) => [encodeTarEntry(entry), latin1(body), tarPadding(body.length)]),
  TAR_END,
);

const PYTHON = `
import io, json, sys, tarfile
out = []
with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as tar:
    for m in tar:
        body = tar.extractfile(m).read() if m.isreg() else b""
        out.append({"path": m.name.encode("utf-8", "surrogateescape").hex(), "type": m.type.decode(), "mode": m.mode,
            "uid": m.uid, "gid": m.gid, "mtime": m.mtime, "size": m.size, "major": m.devmajor, "minor": m.devminor,
            "link": m.linkname, "body": body.hex(), "xattr": m.pax_headers.get("SCHILY.xattr.user.a")})
json.dump(out, sys.stdout)
`;

describe("we write, others read", () => {
  it.skipIf(!hasGnuTar)(`GNU tar lists what we wrote, without a complaint${NO_TAR}`, () => {
    const options = ["--list", "--verbose", "--numeric-owner", "--full-time", "--quoting-style=escape"];
    const { stdout, stderr, status } = spawnSync("tar", [...options, "--file", "-"], {
      input: OUR_TAR,
      env: ENV,
      encoding: "utf8",
    });
    expect([stderr, status]).toEqual(["", 0]);
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.replace(/ +/g, " "));
    expect(lines).toEqual([
      "-rw-r----- 1/2 5 2020-09-13 12:26:40 plain",
      `-rw-r----- 1/2 0 2020-09-13 12:26:40 ${"p".repeat(120)}/${"n".repeat(90)}`,
      `-rw-r----- 1/2 3 2020-09-13 12:26:40 ${"l/".repeat(300)}long`,
      "drwxrwxrwt 1/2 0 2020-09-13 12:26:40 dir-\\303\\251/",
      "-rw-r----- 1/2 0 2020-09-13 12:26:40 bytes-\\377\\376",
      `lrw-r----- 1/2 0 2020-09-13 12:26:40 soft -> ${"t".repeat(200)}`,
      "hrw-r----- 1/2 0 2020-09-13 12:26:40 hard link to plain",
      "crw-r----- 1/2 5,1 2020-09-13 12:26:40 char",
      "prw-r----- 1/2 0 2020-09-13 12:26:40 fifo",
      "-rw-r----- 4294967294/2097152 0 2020-09-13 12:26:40 ids",
      "-rw-r----- 1/2 0 1969-12-31 23:59:57 old",
      "-rw-r----- 1/2 0 2446-05-10 22:38:55.000000001 late",
      "-rw-r----- 1/2 0 2020-09-13 12:26:40 xattr",
      "-rw-r----- 1/2 100000 2020-09-13 12:26:40 holes",
    ]);
  });

  it.skipIf(!hasGnuTar)(`GNU tar extracts what we wrote${NO_TAR}`, () => {
    const root = fs.mkdtempSync(path.join(scratch, "extract-"));
    const names = ["plain", "hard", "holes", "old"];
    execFileSync("tar", ["--extract", "--no-same-owner", "--directory", root, "--file", "-", ...names], {
      input: OUR_TAR,
      env: ENV,
    });
    expect(fs.readFileSync(path.join(root, "hard"), "utf8")).toBe("hello");
    const holes = Buffer.alloc(100_000);
    holes.write("xyz", 50_000);
    expect(fs.readFileSync(path.join(root, "holes")).equals(holes)).toBe(true);
  });

  it.skipIf(!hasPython)(`Python's tarfile reads what we wrote${NO_PYTHON}`, () => {
    const output = execFileSync("python3", ["-c", PYTHON], {
      input: OUR_TAR,
      env: { ...ENV, PYTHONUTF8: "1" },
    });
    const read = JSON.parse(output.toString()) as Record<string, unknown>[];
    const flags = { file: "0", hardlink: "1", symlink: "2", char: "3", block: "4", dir: "5", fifo: "6" };
    const expected = OURS.map(([entry, body]) => ({
      path: Buffer.from(entry.path.replace(/\/$/, ""), "latin1").toString("hex"),
      type: flags[entry.type],
      mode: entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime: entry.mtime.seconds + entry.mtime.nanoseconds / 1e9,
      size: entry.sizeBytes,
      major: entry.deviceMajor,
      minor: entry.deviceMinor,
      link: entry.linkTarget,
      body: expand({ entry, body: latin1(body) }).toString("hex"),
      xattr: entry.xattrs ? "\0\n=" : null,
    }));
    expect(read).toEqual(expected);
  });
});

type PackHeader = Parameters<ReturnType<typeof makePack>["entry"]>[0];

describe("tar-stream writes, we read", () => {
  async function packed(headers: readonly (readonly [PackHeader, string])[]): Promise<Uint8Array> {
    const pack = makePack();
    for (const [header, body] of headers) pack.entry(header, body);
    pack.finalize();
    const pieces: Uint8Array[] = [];
    for await (const piece of pack) pieces.push(piece as Uint8Array);
    return concat(...pieces);
  }

  it("ustar and PAX entries", async () => {
    const mtime = new Date(1_600_000_000_000);
    const long = `${"d".repeat(120)}/${"é".repeat(120)}`;
    const parsed = parseTar(
      await packed([
        [{ name: "a", mode: 0o755, uid: 1000, gid: 1001, mtime }, "body"],
        [{ name: "d", type: "directory", mtime }, ""],
        [{ name: long, mtime, pax: { "SCHILY.xattr.user.a": "v", uid: "7" } }, "long"],
        [{ name: "l", type: "symlink", linkname: "t".repeat(120), mtime }, ""],
        [{ name: "h", type: "link", linkname: "a", mtime }, ""],
        [{ name: "c", type: "character-device", devmajor: 1, devminor: 3, mtime }, ""],
        [{ name: "p", type: "fifo", mtime }, ""],
      ]),
      100,
    );
    expect(parsed.map(({ entry }) => [entry.path, entry.type, entry.linkTarget])).toEqual([
      ["a", "file", ""],
      ["d", "dir", ""],
      [utf8ByteString(long), "file", ""],
      ["l", "symlink", "t".repeat(120)],
      ["h", "hardlink", "a"],
      ["c", "char", ""],
      ["p", "fifo", ""],
    ]);
    expect(parsed[0]).toMatchObject({ entry: { mode: 0o755, uid: 1000, gid: 1001, sizeBytes: 4 } });
    expect(parsed[2]?.entry).toMatchObject({
      uid: 7,
      sizeBytes: 4,
      mtime: { seconds: 1_600_000_000, nanoseconds: 0 },
    });
    expect(parsed[2]?.entry.xattrs?.get(asByteString("user.a"))).toEqual(latin1("v"));
    expect(parsed[5]?.entry).toMatchObject({ deviceMajor: 1, deviceMinor: 3 });
  });
});
