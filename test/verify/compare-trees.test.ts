import { describe, expect, test } from "vitest";

import { asByteString, type ByteString } from "../../src/base/bytes.ts";
import { compareTrees } from "../../src/verify/compare-trees.ts";
import type { FileNode, FileTree } from "../../src/verify/file-tree.ts";

const FILE: FileNode = {
  type: "file",
  mode: 0o644,
  uid: 1,
  gid: 2,
  mtime: { seconds: -2, nanoseconds: 5 },
  sizeBytes: 3,
  content: "sha256:aa",
  linkTarget: asByteString(""),
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: new Map([[asByteString("user.a"), "0x01"]]),
  linkCount: 1,
};

function treeOf(nodes: Readonly<Record<string, FileNode>>): FileTree {
  return new Map(Object.entries(nodes).map(([path, node]) => [asByteString(path), node]));
}

describe("two trees", () => {
  test("that are equal have no difference", () => {
    expect(compareTrees(treeOf({ "/a": FILE }), treeOf({ "/a": { ...FILE } })).kept).toEqual([]);
  });

  const xattr = (value: string): ReadonlyMap<ByteString, string> =>
    new Map([[asByteString("user.a"), value]]);
  const cases: readonly (readonly [string, Partial<FileNode>, string | number, string | number])[] = [
    ["mode", { mode: 0o4755 }, "0644", "4755"],
    ["uid", { uid: 0 }, 1, 0],
    ["gid", { gid: 4_000_000_000 }, 2, 4_000_000_000],
    ["mtime", { mtime: { seconds: -2, nanoseconds: 6 } }, "-2.000000005", "-2.000000006"],
    ["size", { sizeBytes: 4 }, 3, 4],
    ["content", { content: "sha256:bb" }, "sha256:aa", "sha256:bb"],
    ["target", { linkTarget: asByteString("x\xff") }, "", "x\\xff"],
    ["device", { deviceMajor: 1, deviceMinor: 3 }, "0:0", "1:3"],
    ["links", { linkCount: 2 }, 1, 2],
    ["xattr user.a", { xattrs: xattr("0x02") }, "0x01", "0x02"],
    ["xattr user.a", { xattrs: new Map() }, "0x01", "absent"],
    ["xattr user.b", { xattrs: new Map([...xattr("0x01"), [asByteString("user.b"), "0x"]]) }, "absent", "0x"],
  ];

  test.each(cases)("differ in %s, and only there", (field, change, expected, found) => {
    const differences = compareTrees(treeOf({ "/a": FILE }), treeOf({ "/a": { ...FILE, ...change } }));
    expect(differences.kept).toEqual([{ path: "/a", field, expected, found }]);
  });

  test("of another type are not compared in size, content, target and device", () => {
    const fifo: FileNode = { ...FILE, type: "fifo", sizeBytes: 0, content: "", uid: 9 };
    expect(compareTrees(treeOf({ "/a": FILE }), treeOf({ "/a": fifo })).kept).toEqual([
      { path: "/a", field: "type", expected: "file", found: "fifo" },
      { path: "/a", field: "uid", expected: 1, found: 9 },
    ]);
  });

  test("that each have a path of their own differ in both", () => {
    const dir: FileNode = { ...FILE, type: "dir" };
    expect(compareTrees(treeOf({ "/a": FILE }), treeOf({ "/b": dir })).kept).toEqual([
      { path: "/b", field: "path", expected: "absent", found: "dir" },
      { path: "/a", field: "path", expected: "file", found: "absent" },
    ]);
  });

  test("may have hard links in other groups though every count is right", () => {
    const [one, two] = [
      { ...FILE, linkCount: 2 },
      { ...FILE, linkCount: 2 },
    ];
    const expected = treeOf({ "/a": one, "/b": one, "/c": two, "/d": two });
    expect(compareTrees(expected, treeOf({ "/a": one, "/b": two, "/c": two, "/d": one })).kept).toEqual([
      { path: "/b", field: "sameFileAs", expected: "/a", found: "/b" },
      { path: "/c", field: "sameFileAs", expected: "/c", found: "/b" },
      { path: "/d", field: "sameFileAs", expected: "/c", found: "/a" },
    ]);
    expect(compareTrees(expected, expected).kept).toEqual([]);
  });
});
