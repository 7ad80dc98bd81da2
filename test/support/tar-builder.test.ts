/** GNU tar and Python read what the builder makes. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { testWith } from "./judge.ts";
import { encodeHeader, encodePax, tarBuilder } from "./tar-builder.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-tar-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function save(bytes: Uint8Array): string {
  const file = path.join(folder, "a.tar");
  writeFileSync(file, bytes);
  return file;
}

function list(bytes: Uint8Array): string[] {
  const options = ["--utc", "--full-time", "--numeric-owner", "--quoting-style=escape", "-tvf", save(bytes)];
  const text = execFileSync("tar", options, { env: { ...process.env, LC_ALL: "C" }, encoding: "latin1" });
  return text.trimEnd().split("\n");
}

testWith(["tar"], "GNU tar lists every kind of entry", () => {
  const bytes = tarBuilder()
    .dir("d/", { mode: 0o1777, uid: 5, gid: 6 })
    .file("d/f", "hello", { mtime: 86_400 })
    .symlink("d/s", "f")
    .hardlink("d/h", "d/f")
    .fifo("d/p", { mode: 0o600 })
    .device("d/c", "char", { devmajor: 1, devminor: 3 })
    .device("d/b", "block", { devmajor: 8, devminor: 0 })
    .file("old", "x", { magic: "v7" })
    .end();
  expect(list(bytes).map((line) => line.replace(/ +/g, " "))).toEqual([
    "drwxrwxrwt 5/6 0 1970-01-01 00:00:00 d/",
    "-rw-r--r-- 0/0 5 1970-01-02 00:00:00 d/f",
    "lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 d/s -> f",
    "hrw-r--r-- 0/0 0 1970-01-01 00:00:00 d/h link to d/f",
    "prw------- 0/0 0 1970-01-01 00:00:00 d/p",
    "crw-r--r-- 0/0 1,3 1970-01-01 00:00:00 d/c",
    "brw-r--r-- 0/0 8,0 1970-01-01 00:00:00 d/b",
    "-rw-r--r-- 0/0 1 1970-01-01 00:00:00 old",
  ]);
});

testWith(["tar"], "GNU tar takes long names, pax records, prefixes and base 256", () => {
  const long = "n".repeat(300);
  const bytes = tarBuilder()
    .gnuLongName(long)
    .gnuLongLink(`to-${long}`)
    .symlink("short", "short", { magic: "gnu" })
    .pax([
      ["path", `pax-${long}`],
      ["mtime", "1.5"],
      ["uid", "4000000000"],
    ])
    .file("short", "abc")
    .file("name", "", { prefix: "in/front" })
    .file("far", "", { magic: "gnu", mtime: 2n ** 33n, uid: 2 ** 31 })
    .file("past", "", { magic: "gnu", mtime: -86_400 })
    .end();
  const lines = list(bytes);
  expect(lines[0]).toContain(`${long} -> to-${long}`);
  expect(lines[1]).toMatch(/^-rw-r--r-- 4000000000\/0 +3 1970-01-01 00:00:01\.5 pax-n{300}$/);
  expect(lines[2]).toContain(" in/front/name");
  expect(lines[3]).toMatch(/2147483648\/0 +0 2242-03-16 12:56:32 +far$/);
  expect(lines[4]).toMatch(/1969-12-31 00:00:00 +past$/);
});

testWith(["tar"], "GNU tar unpacks a sparse file in every form", () => {
  const parts = Array.from({ length: 60 }, (_, index) => ({
    offset: 1024 * index,
    bytes: String.fromCharCode(index + 1).repeat(512),
  }));
  // GNU tar makes the hole at the end from an empty run there.
  parts.push({ offset: 100_000, bytes: "" });
  const expected = new Uint8Array(100_000);
  for (const { offset, bytes } of parts) expected.set(Buffer.from(bytes), offset);
  for (const form of ["gnu", "pax-0.0", "pax-0.1", "pax-1.0"] as const) {
    const bytes = tarBuilder().sparse(form, { path: form, realSize: 100_000, parts }).end();
    execFileSync("tar", ["-C", folder, "-xf", save(bytes)]);
    expect(Buffer.compare(readFileSync(path.join(folder, form)), expected), form).toBe(0);
  }
});

testWith(["tar"], "GNU tar refuses a wrong sum, and takes a signed one", () => {
  const status = (bytes: Uint8Array): number | null => spawnSync("tar", ["-tf", save(bytes)]).status;
  expect(status(tarBuilder().file("a\xff", "", { checksum: 1 }).end())).not.toBe(0);
  expect(status(tarBuilder().file("a\xff", "", { isSumSigned: true }).end())).toBe(0);
  expect(status(tarBuilder().file("a\xff").end())).toBe(0);
});

test("fields are where POSIX puts them, and may hold anything", () => {
  const header = Buffer.from(
    encodeHeader({ name: "n", size: "junk", typeflag: "Q", patches: [{ offset: 500, bytes: "end" }] }),
  );
  expect(header.length).toBe(512);
  expect(header.toString("latin1", 124, 136)).toBe("junk" + "\0".repeat(8));
  expect(header.toString("latin1", 156, 157)).toBe("Q");
  expect(header.toString("latin1", 257, 265)).toBe("ustar\x0000");
  expect(header.toString("latin1", 500, 503)).toBe("end");
  expect(() => encodeHeader({ name: "n".repeat(101) })).toThrow("do not fit");
  expect(() => encodeHeader({ name: "\u{20ac}" })).toThrow("not a byte");
});

test("a pax record's length counts itself", () => {
  const text = (key: string, value: string): string =>
    Buffer.from(encodePax([[key, value]])).toString("latin1");
  expect(text("k", "v")).toBe("6 k=v\n");
  expect(text("k", "v".repeat(4))).toBe("9 k=vvvv\n");
  expect(text("k", "v".repeat(5))).toBe("11 k=vvvvv\n");
  expect(text("k", "v".repeat(94))).toBe(`101 k=${"v".repeat(94)}\n`);
});

test("bodies are padded, unless they are not to be", () => {
  expect(tarBuilder().file("a", "x").bytes().length).toBe(1024);
  expect(tarBuilder().file("a", "x", { isPadded: false }).bytes().length).toBe(513);
  expect(tarBuilder().file("a", "x".repeat(512)).end().length).toBe(2048);
});
