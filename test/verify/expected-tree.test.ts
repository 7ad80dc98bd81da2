import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { expectedTree } from "../../src/verify/expected-tree.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";
import { recordsOf } from "./_support.ts";

type Layer = (tar: TarBuilder) => TarBuilder;

/** Paths with type and what tells them apart; the root directory left out. */
function listOf(...layers: readonly Layer[]): string[] {
  const tree = expectedTree(layers.map((layer) => recordsOf(layer(tarBuilder()))));
  return [...tree]
    .filter(([path]) => path !== "/")
    .map(([path, { type, mode, linkTarget }]) => {
      const target = linkTarget === "" ? "" : ` -> ${linkTarget}`;
      return `${path} ${type} ${mode.toString(8)}${target}`;
    })
    .sort((left, right) => (left < right ? -1 : 1));
}

describe("layers make a tree", () => {
  const cases: readonly (readonly [string, readonly Layer[], readonly string[]])[] = [
    ["no layer: the root directory alone", [], []],
    ["paths in all their forms", [(t) => t.file("./a").file("/b").file("c//d/../e")], ["/a file 644", "/b file 644", "/c dir 755", "/c/e file 644"]],
    ["directories without an entry", [(t) => t.file("a/b/c")], ["/a dir 755", "/a/b dir 755", "/a/b/c file 644"]],
    ["a whiteout of a lower file", [(t) => t.file("a").file("b"), (t) => t.file(".wh.a")], ["/b file 644"]],
    ["a whiteout of what is not there", [(t) => t.file("x/.wh.a")], []],
    ["a whiteout of a directory and all below", [(t) => t.file("d/e/f").file("dd"), (t) => t.file(".wh.d")], ["/dd file 644"]],
    ["a whiteout does not act on its own layer", [(t) => t.file("a"), (t) => t.file("a", "", { mode: 0o600 }).file(".wh.a")], ["/a file 600"]],
    ["a whiteout makes no directory", [(t) => t.file("q/.wh.a")], []],
    ["an opaque marker, last in its layer", [(t) => t.dir("d", { mode: 0o700 }).file("d/a"), (t) => t.file("d/b").file("d/.wh..wh..opq")], ["/d dir 700", "/d/b file 644"]],
    ["an opaque marker in the root directory", [(t) => t.file("a").file("d/b"), (t) => t.file(".wh..wh..opq").file("c")], ["/c file 644"]],
    ["an opaque marker on what is no directory", [(t) => t.file("d"), (t) => t.file("d/.wh..wh..opq")], ["/d file 644"]],
    ["names below a whiteout name", [(t) => t.dir(".wh.plnk").file(".wh.plnk/a").file("b")], ["/b file 644"]],
    ["a hard link to what AUFS kept aside", [(t) => t.file(".wh..wh.plnk/1", "", { mode: 0o600 }).hardlink("d/b", "./.wh..wh.plnk/1")], ["/d dir 755", "/d/b file 600"]],
    ["a name that only looks like one inside", [(t) => t.file("a.wh.b")], ["/a.wh.b file 644"]],
    ["a directory keeps its names when its entry comes again", [(t) => t.dir("d").file("d/a"), (t) => t.dir("d", { mode: 0o711 })], ["/d dir 711", "/d/a file 644"]],
    ["a file replaces a directory and all below", [(t) => t.file("d/e/a"), (t) => t.file("d")], ["/d file 644"]],
    ["a directory replaces a file", [(t) => t.file("d"), (t) => t.dir("d").file("d/a")], ["/d dir 755", "/d/a file 644"]],
    ["a symlink replaces a directory", [(t) => t.file("d/a"), (t) => t.symlink("d", "e")], ["/d symlink 777 -> e"]],
    ["an entry below a symlink", [(t) => t.dir("usr/lib").symlink("lib", "usr/lib"), (t) => t.file("lib/a")], ["/lib symlink 777 -> usr/lib", "/usr dir 755", "/usr/lib dir 755", "/usr/lib/a file 644"]],
    ["an entry below an absolute symlink", [(t) => t.dir("d").symlink("x/l", "/d"), (t) => t.file("x/l/a")], ["/d dir 755", "/d/a file 644", "/x dir 755", "/x/l symlink 777 -> /d"]],
    ["a symlink that climbs out stays inside", [(t) => t.symlink("l", "../../../d").file("l/a")], ["/d dir 755", "/d/a file 644", "/l symlink 777 -> ../../../d"]],
    ["a symlink to what is not there makes it", [(t) => t.symlink("l", "m/n").file("l/a")], ["/l symlink 777 -> m/n", "/m dir 755", "/m/n dir 755", "/m/n/a file 644"]],
    ["a whiteout through a symlink", [(t) => t.file("d/a").symlink("l", "d"), (t) => t.file("l/.wh.a")], ["/d dir 755", "/l symlink 777 -> d"]],
    ["a file in place of a symlink does not follow it", [(t) => t.file("a").symlink("l", "a"), (t) => t.file("l", "", { mode: 0o600 })], ["/a file 644", "/l file 600"]],
    ["a symlink's mode does not count", [(t) => t.symlink("l", "a", { mode: 0o640 })], ["/l symlink 777 -> a"]],
  ]; // prettier-ignore

  test.each(cases)("%s", (_name, layers, expected) => {
    expect(listOf(...layers)).toEqual(expected);
  });

  test("hard links are one file with the attributes of its own entry", () => {
    const tree = expectedTree([
      recordsOf(tarBuilder().file("a", "x", { mode: 0o640, uid: 1 })),
      recordsOf(tarBuilder().hardlink("d/b", "a", { mode: 0o777, uid: 9 }).file("c", "x")),
    ]);
    const node = tree.get(asByteString("/a"));
    expect(tree.get(asByteString("/d/b"))).toBe(node);
    expect(node).toMatchObject({ mode: 0o640, uid: 1, linkCount: 2 });
    expect(tree.get(asByteString("/c"))).toMatchObject({ content: node?.content, linkCount: 1 });
  });

  test("a hard link outlives its first name", () => {
    const tree = expectedTree([
      recordsOf(tarBuilder().file("a", "x").hardlink("b", "a")),
      recordsOf(tarBuilder().file(".wh.a").file("a", "y")),
    ]);
    const [a, b] = ["/a", "/b"].map((path) => tree.get(asByteString(path)));
    expect(a?.linkCount).toBe(1);
    expect(b?.linkCount).toBe(1);
    expect(a?.content).not.toBe(b?.content);
  });

  test("directories count their subdirectories", () => {
    const tree = expectedTree([recordsOf(tarBuilder().dir("a/b").dir("a/c").file("a/d"))]);
    expect(tree.get(asByteString("/"))?.linkCount).toBe(3);
    expect(tree.get(asByteString("/a"))?.linkCount).toBe(4);
  });

  test("the root directory has an entry like any other", () => {
    const root = asByteString("/");
    expect(expectedTree([]).get(root)).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime: { seconds: 0 } });
    const tree = expectedTree([recordsOf(tarBuilder().dir("./", { mode: 0o700, uid: 5, mtime: 9 }))]);
    expect(tree.get(root)).toMatchObject({ mode: 0o700, uid: 5, mtime: { seconds: 9 } });
  });

  test.each([
    ["-99999999999.5", { seconds: -(2 ** 31), nanoseconds: 0 }],
    ["-2147483648.25", { seconds: -(2 ** 31), nanoseconds: 0 }],
    ["-2147483648", { seconds: -(2 ** 31), nanoseconds: 0 }],
    ["-1.5", { seconds: -2, nanoseconds: 500_000_000 }],
    ["15032385535.5", { seconds: 2 ** 34 - 2 ** 31 - 1, nanoseconds: 500_000_000 }],
    ["15032385536", { seconds: 2 ** 34 - 2 ** 31 - 1, nanoseconds: 999_999_999 }],
  ])("the time %s becomes one that ext4 can hold", (mtime, expected) => {
    const tree = expectedTree([
      recordsOf(
        tarBuilder()
          .pax([["mtime", mtime]])
          .file("a"),
      ),
    ]);
    expect(tree.get(asByteString("/a"))?.mtime).toEqual(expected);
  });

  test("devices and attributes are kept", () => {
    const tar = tarBuilder()
      .device("c", "char", { devmajor: 5, devminor: 300 })
      .pax([["SCHILY.xattr.user.a", "v"]])
      .file("f");
    const tree = expectedTree([recordsOf(tar)]);
    expect(tree.get(asByteString("/c"))).toMatchObject({ type: "char", deviceMajor: 5, deviceMinor: 300 });
    expect([...(tree.get(asByteString("/f"))?.xattrs ?? [])]).toEqual([["user.a", "0x76"]]);
  });
});

describe("what no tree can be made of", () => {
  const cases: readonly (readonly [string, string, Layer])[] = [
    ["a path that leaves the root directory", "TAR_PATH_UNSAFE", (t) => t.file("a/../../b")],
    ["a link target that leaves it", "TAR_PATH_UNSAFE", (t) => t.file("a").hardlink("b", "../a")],
    ["a file for the root directory", "TREE_INVALID", (t) => t.file("./")],
    ["a parent that is a file", "TREE_INVALID", (t) => t.file("a").file("a/b")],
    ["a symlink loop in a parent", "TREE_INVALID", (t) => t.symlink("a", "b").symlink("b", "a").file("a/c")],
    ["a hard link to nothing", "TREE_INVALID", (t) => t.hardlink("a", "b")],
    ["a hard link to a directory", "TREE_INVALID", (t) => t.dir("d").hardlink("a", "d")],
    ["a hard link to itself", "TREE_INVALID", (t) => t.file("a").hardlink("./a", "a")],
    ["a whiteout without a name", "WHITEOUT_INVALID", (t) => t.file("d/.wh.")],
  ];

  test.each(cases)("%s", (_name, code, layer) => {
    // A whiteout needs a directory to act in.
    const layers = [tarBuilder().dir("d"), layer(tarBuilder())].map(recordsOf);
    expect(() => expectedTree(layers)).toThrow(expect.objectContaining({ code }));
  });
});

test.each([
  [64_998, 65_000],
  [64_999, 1],
])("a directory with %i subdirectories has link count %i", (count, linkCount) => {
  const tar = tarBuilder();
  for (let i = 0; i < count; i++) tar.dir(`d/${i}`);
  expect(expectedTree([recordsOf(tar)]).get(asByteString("/d"))?.linkCount).toBe(linkCount);
});
