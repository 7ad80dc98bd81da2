// ⚡ uses: file system
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { definite } from "../../src/base/error.ts";
import { ImageDevice } from "../../src/device/image-device.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import { compareWithExt2fs, type Ext2fsOptions, type Ext2fsReport } from "../../src/verify/ext2fs-witness.ts";
import type { FileNode, FileTree } from "../../src/verify/file-tree.ts";
import { readTree } from "../../src/verify/read-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";
import { convertLayers, EXT2FS_PROGRAM, openTestStore, type TestImage, type TestStore } from "./_support.ts";

let place: TestStore;
let image: TestImage;
let tree: FileTree;

beforeAll(async () => {
  place = await openTestStore();
  image = await convertLayers(place, [
    tarBuilder()
      .file("f", "text", { mode: 0o4711, uid: 70_000, gid: 3, mtime: 4_000_000_000 })
      .hardlink("g", "f")
      .file("other", "text")
      .file("empty")
      .file("d\xff/\xfe", "bytes")
      .symlink("l", "\xff/target")
      .gnuLongLink("t".repeat(2000))
      .symlink("long", "t")
      .device("n", "block", { devmajor: 8, devminor: 17 })
      .fifo("p", { mtime: -1 })
      .sparse("pax-1.0", {
        path: "s",
        realSize: 50_000_000,
        parts: [{ offset: 512, bytes: "x".repeat(512) }],
      })
      .sparse("pax-1.0", { path: "holes", realSize: 2 ** 33 + 1, parts: [] }),
  ]);
  tree = (await readTree(await Ext4Reader.open(new ImageDevice(place.store, image.content)))).tree;
});
afterAll(() => place.close());

function ask(expected: FileTree, options: Ext2fsOptions = {}): Promise<Ext2fsReport> {
  const subject = {
    storePath: place.store.path,
    manifestId: image.manifestId,
    customerKey: place.keyring.customerKey(),
  };
  return compareWithExt2fs(subject, expected, { program: EXT2FS_PROGRAM, ...options });
}

/** The tree with one path changed (all names of its file), or without it. */
function changed(path: string, change: Partial<FileNode> | undefined): FileTree {
  const copy = new Map(tree);
  const node = definite(tree.get(asByteString(path)), path);
  if (change === undefined) copy.delete(asByteString(path));
  else {
    const other = { ...node, ...change };
    for (const [name, each] of tree) if (each === node) copy.set(name, other);
  }
  return copy;
}

describe("libext2fs", () => {
  test("is there to be asked", () => {
    expect(existsSync(EXT2FS_PROGRAM), "run npm run build").toBe(true);
  });

  test("sees what we see, and does not read a file of many holes", async () => {
    const report = await ask(tree);
    expect(report.failure).toBeUndefined();
    expect(report.differences.kept).toEqual([]);
    expect(report.pathCount).toBe(tree.size);
    expect(report.notReadCount).toBe(1);
  });

  const cases: readonly (readonly [string, string, Partial<FileNode> | undefined])[] = [
    ["type", "/p", { type: "socket" }],
    ["mode", "/f", { mode: 0o711 }],
    ["uid", "/f", { uid: 70_001 }],
    ["gid", "/f", { gid: 4 }],
    ["mtime", "/p", { mtime: { seconds: -2, nanoseconds: 0 } }],
    ["links", "/other", { linkCount: 2 }],
    ["size", "/holes", { sizeBytes: 2 ** 33 + 2 }],
    ["read bytes", "/s", { sizeBytes: 50_000_000 + 2 ** 32 }],
    ["content", "/d\xff/\xfe", { content: "sha256:aa" }],
    ["target", "/l", { linkTarget: asByteString("\xfe/target") }],
    ["path", "/empty", undefined],
  ];

  test.each(cases)("finds a difference in %s of %s", async (field, path, change) => {
    const { differences, failure } = await ask(changed(path, change));
    expect(failure).toBeUndefined();
    expect(new Set(differences.kept.map((difference) => difference.field))).toEqual(new Set([field]));
    expect(differences.kept.map((difference) => difference.path)).toContain(path);
  });

  test("finds a path that it does not see", async () => {
    const copy = new Map(tree).set(asByteString("/more"), definite(tree.get(asByteString("/p")), "fifo"));
    expect((await ask(copy)).differences.kept).toEqual([
      { path: "/more", field: "path", expected: "fifo", found: "absent" },
    ]);
  });

  test("finds hard links in other groups", async () => {
    const copy = new Map(tree).set(asByteString("/g"), { ...definite(tree.get(asByteString("/f")), "file") });
    expect((await ask(copy)).differences.kept).toEqual([
      { path: "/g", field: "sameFileAs", expected: "/g", found: "/f" },
    ]);
  });
});

describe("a reader that fails is a finding", () => {
  function program(name: string, text: string): URL {
    const path = join(place.directory, `${name}.mjs`);
    writeFileSync(path, text);
    return pathToFileURL(path);
  }

  const cases: readonly (readonly [string, string, string | RegExp])[] = [
    ["ends with a status", "process.exit(7);", "exit status 7"],
    ["ends without a word", "", "exit status 0"],
    ["is killed", 'process.kill(process.pid, "SIGKILL");', "ended by SIGKILL"],
    ["throws", 'throw new RangeError("out of memory");', "RangeError: out of memory"],
    ["speaks nonsense", 'console.log("hello"); setInterval(() => {}, 1000);', 'unexpected output: "hello"'],
    ["says why", 'console.log(\'{"kind":"failed","message":"no disk"}\');', "no disk"],
    ["miscounts", 'console.log(\'{"kind":"end","pathCount":3}\');', "counts 3 paths, told of 0"],
    ["says nothing", "setInterval(() => {}, 1000);", "silent for 0.5 s"],
  ];

  test.each(cases)("that %s", async (name, text, failure) => {
    const report = await ask(tree, {
      program: program(name.replaceAll(" ", "-"), text),
      ...(name === "says nothing" ? { silenceMs: 500 } : {}),
    });
    expect(report.failure).toBe(failure);
    expect(report.differences.kept).toEqual([]);
  });

  test("that is not there", async () => {
    const report = await ask(tree, { program: pathToFileURL(join(place.directory, "none.mjs")) });
    expect(report.failure).toMatch(/^Error: Cannot find module/);
  });

  test("unless the caller has had enough", async () => {
    const options = { program: program("sleeps", "setInterval(() => {}, 1000);") };
    const stop = new AbortController();
    const asked = ask(tree, { ...options, signal: stop.signal });
    stop.abort();
    await expect(asked).rejects.toMatchObject({ code: "CANCELLED" });
  });

  test("and is given no environment, and the key on stdin only", async () => {
    const text = `
      let key = "";
      for await (const piece of process.stdin) key += piece;
      const shown = JSON.stringify([Object.keys(process.env), process.argv.slice(2), key.trim().length]);
      console.log(JSON.stringify({ kind: "failed", message: shown }));`;
    const { failure } = await ask(tree, { program: program("tells", text) });
    expect(failure).toBe(JSON.stringify([[], [place.store.path, image.manifestId], 44]));
  });
});
