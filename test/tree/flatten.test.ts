import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { isLambdaImgError } from "../../src/base/error.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import type { Inode } from "../../src/tree/tree.ts";
import { STACK_CASES } from "../fidelity/cases.ts";
import { outlined } from "../support/layer-entries.ts";
import {
  directoryEntry as directory,
  hardlinkEntry as link,
  layerEntry,
  symlinkEntry as symlink,
} from "../support/layer-entry.ts";
import { compareTrees } from "../support/judged-tree.ts";
import { entriesOf, expectedTree, type Row } from "../support/layer-rows.ts";
import { flattenTars } from "../support/layer-tree.ts";
import { modelTree, tarOfEntries } from "../support/model-layers.ts";

const ATTRIBUTES: ReadonlySet<string> = new Set(["mode", "owner", "mtime", "xattrs"]);

describe("layers become a tree:", () => {
  test.each(STACK_CASES.map((stack) => [stack.name, stack] as const))("%s", (_name, { layers, tree }) => {
    const entries = layers.map(entriesOf);
    const found = flattenTars(entries.map(tarOfEntries));
    const byHand = expectedTree(tree).map((entry) => ({ ...NO_ATTRIBUTES, ...entry }));
    expect(compareTrees(byHand, found, { overlook: (aspect) => ATTRIBUTES.has(aspect) })).toEqual([]);
    // The second implementation has the attributes too.
    expect(compareTrees(modelTree(entries), found, { isImpliedStrict: true })).toEqual([]);
  });
});

const NO_ATTRIBUTES = { mode: 0, uid: 0, gid: 0, mtime: [0, 0], xattrs: {} } as const;

function flatten(...layers: readonly (readonly LayerEntry[])[]): Inode {
  const flattener = new Flattener();
  for (const layer of layers) flattener.applyLayer(outlined(layer));
  return flattener.finish().rootDirectory;
}

function at(root: Inode, path: string): Inode {
  let here: Inode | undefined = root;
  for (const name of path.split("/")) here = here?.children?.get(asByteString(name));
  if (here === undefined) throw new Error(`nothing at ${path}`);
  return here;
}

function codeOf(...layers: readonly (readonly LayerEntry[])[]): string {
  try {
    flatten(...layers);
    return "none";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

const loop = (levels: number): LayerEntry[] => [
  directory("end"),
  symlink("l1", "end"),
  ...Array.from({ length: levels - 1 }, (_, i) => symlink(`l${i + 2}`, `l${i + 1}`)),
];

describe("refused:", () => {
  test.each<[string, string, LayerEntry[][]]>([
    ["a file in place of the root directory", "TREE_INVALID", [[layerEntry("./")]]],
    ["a symlink in place of the root directory", "TREE_INVALID", [[symlink("/", "a")]]],
    ["a hard link to nothing", "TREE_INVALID", [[link("a", "b")]]],
    [
      "a hard link to what a whiteout of the same layer hides",
      "TREE_INVALID",
      [[layerEntry("b")], [link("a", "b"), layerEntry(".wh.b")]],
    ],
    ["a hard link to what comes later", "TREE_INVALID", [[link("a", "b"), layerEntry("b")]]],
    [
      "a hard link to what AUFS kept aside in a lower layer",
      "TREE_INVALID",
      [[layerEntry(".wh..wh.plnk/1.2")], [link("a", ".wh..wh.plnk/1.2")]],
    ],
    ["a hard link to a directory", "TREE_INVALID", [[directory("d"), link("a", "d")]]],
    ["a hard link to the root directory", "TREE_INVALID", [[link("a", "/")]]],
    ["a hard link to itself", "TREE_INVALID", [[layerEntry("a"), link("a", "./a")]]],
    [
      "a hard link to itself through a symlink",
      "TREE_INVALID",
      [[layerEntry("d/a"), symlink("s", "d"), link("d/a", "s/a")]],
    ],
    ["a hard link that leads out", "TAR_PATH_UNSAFE", [[link("a", "../etc/passwd")]]],
    ["an entry that leads out", "TAR_PATH_UNSAFE", [[layerEntry("../a")]]],
    ["a whiteout that leads out", "TAR_PATH_UNSAFE", [[layerEntry("../.wh.a")]]],
    ["an entry below a file", "TREE_INVALID", [[layerEntry("a")], [layerEntry("a/b")]]],
    [
      "an entry below a symlink to a file",
      "TREE_INVALID",
      [[layerEntry("a"), symlink("s", "a"), layerEntry("s/b")]],
    ],
    ["an entry below a fifo", "TREE_INVALID", [[layerEntry("a", { type: "fifo" }), directory("a/b/c")]]],
    ["a symlink to itself as a directory", "TREE_INVALID", [[symlink("a", "a"), layerEntry("a/b")]]],
    [
      "two symlinks in a circle",
      "TREE_INVALID",
      [[symlink("a", "b"), symlink("b", "/a"), layerEntry("a/c")]],
    ],
    ["a whiteout below a circle of symlinks", "TREE_INVALID", [[symlink("a", "a")], [layerEntry("a/.wh.b")]]],
    ["41 symlinks", "TREE_INVALID", [[...loop(41), layerEntry("l41/a")]]],
    ["a bare whiteout prefix", "WHITEOUT_INVALID", [[layerEntry(".wh.")]]],
    ["a whiteout of .", "WHITEOUT_INVALID", [[layerEntry("d/x")], [layerEntry("d/.wh..")]]],
    ["a whiteout of ..", "WHITEOUT_INVALID", [[layerEntry("d/x")], [layerEntry("d/.wh...")]]],
    ["a name of 256 bytes", "PATH_TOO_LONG", [[layerEntry("n".repeat(256))]]],
    [
      "a name of 256 bytes that a symlink asks for",
      "PATH_TOO_LONG",
      [[symlink("a", "n".repeat(256)), layerEntry("a/b")]],
    ],
    ["a symlink without a target", "TREE_INVALID", [[symlink("a", "")]]],
    ["a symlink target of 4096 bytes", "PATH_TOO_LONG", [[symlink("a", "t".repeat(4096))]]],
    ["a major number of 4096", "TREE_INVALID", [[layerEntry("a", { type: "char", deviceMajor: 4096 })]]],
    ["a minor number of 2^20", "TREE_INVALID", [[layerEntry("a", { type: "block", deviceMinor: 2 ** 20 })]]],
  ])("%s (%s)", (_name, code, layers) => {
    expect(codeOf(...layers)).toBe(code);
  });

  test.each<[string, LayerEntry[][]]>([
    ["40 symlinks", [[...loop(40), layerEntry("l40/a")]]],
    ["a name of 255 bytes", [[layerEntry("n".repeat(255))]]],
    ["a symlink target of 4095 bytes", [[symlink("a", "t".repeat(4095))]]],
    [
      "the highest device number",
      [[layerEntry("a", { type: "block", deviceMajor: 4095, deviceMinor: 2 ** 20 - 1 })]],
    ],
    ["a bare whiteout prefix below a name of AUFS", [[layerEntry(".wh..wh.plnk/.wh.")]]],
    ["a whiteout in a lower file's place for a directory", [[layerEntry("a")], [layerEntry("a/.wh.b")]]],
  ])("but not %s", (_name, layers) => {
    expect(codeOf(...layers)).toBe("none");
  });

  test("with a message that names the path and is safe to print", () => {
    expect(() => flatten([link("d/\x1b\xff", "gone")])).toThrow(
      "d/\\x1b\\xff: hard link to a path that does not exist: gone",
    );
  });
});

describe("attributes", () => {
  const odd = { mode: 0o4711, uid: 7, gid: 4_294_967_294, mtime: { seconds: -5, nanoseconds: 999_999_999 } };
  const xattrs = new Map([[asByteString("user.a"), Uint8Array.of(0, 255)]]);

  test("come from the last entry of a directory, all of them", () => {
    const root = flatten([directory("d", { xattrs }), layerEntry("d/a")], [directory("d/", odd)]);
    expect(at(root, "d")).toMatchObject({ ...odd, xattrs: undefined, isImplied: false });
    expect(at(root, "d/a").nameCount).toBe(1);
  });

  test("of the root directory too", () => {
    expect(flatten([directory("./", { ...odd, xattrs })])).toMatchObject({
      ...odd,
      xattrs,
      isImplied: false,
    });
    expect(flatten([])).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } });
  });

  test("of an implied directory are fixed, and give way to an entry", () => {
    const root = flatten([layerEntry("d/e/a")], [directory("d/e", odd)]);
    expect(at(root, "d")).toMatchObject({ mode: 0o755, uid: 0, gid: 0, isImplied: true });
    expect(at(root, "d").mtime).toEqual({ seconds: 0, nanoseconds: 0 });
    expect(at(root, "d/e")).toMatchObject({ ...odd, isImplied: false });
  });

  test("of neighbours with one owner are still each inode's own", () => {
    const owner = { uid: 3, gid: 4, xattrs };
    const files = ["a", "b", "d/c"].map((path, i) => layerEntry(path, { ...owner, mode: i }));
    const root = flatten([directory("d", owner), ...files], [directory("d", { uid: 9 })]);
    for (const [mode, path] of ["a", "b", "d/c"].entries())
      expect(at(root, path)).toMatchObject({ ...owner, mode });
    expect(at(root, "d")).toMatchObject({ uid: 9, gid: 0, xattrs: undefined });
  });

  test("of an entry that says what an implied directory has make one that is not implied", () => {
    const mtime = { seconds: 0, nanoseconds: 0 };
    const root = flatten([directory("d", { mode: 0o755, uid: 0, gid: 0, mtime })]);
    expect(at(root, "d")).toMatchObject({ mode: 0o755, uid: 0, gid: 0, mtime, isImplied: false });
  });

  test("of a hard link's entry do not count", () => {
    const root = flatten([layerEntry("a", { ...odd, xattrs }), { ...link("b", "a"), mode: 0, uid: 1 }]);
    expect(at(root, "b")).toBe(at(root, "a"));
    expect(at(root, "b")).toMatchObject({ ...odd, xattrs, nameCount: 2 });
  });

  test("of a symlink: its mode is 0777", () => {
    expect(at(flatten([{ ...symlink("a", "b"), mode: 0o600 }]), "a").mode).toBe(0o777);
  });
});

describe("inode slots", () => {
  const lower = [
    directory("d"),
    layerEntry("d/a"),
    layerEntry("b"),
    layerEntry("b"),
    link("c", "b"),
    layerEntry("e/f"),
  ];
  const upper = [layerEntry(".wh.d"), layerEntry("g"), directory("e"), layerEntry("x/y"), layerEntry("x/z")];
  const slotsOf = (root: Inode, paths: readonly string[]): number[] =>
    paths.map((path) => at(root, path).slot);

  test("are below the layer's count, and no two inodes of a class share one", () => {
    const flattener = new Flattener();
    flattener.applyLayer(outlined(lower));
    flattener.applyLayer(outlined(upper));
    const { rootDirectory: root, slots } = flattener.finish();
    const inodes = new Set(["b", "c", "e", "e/f", "g", "x", "x/y", "x/z"].map((path) => at(root, path)));
    const used = new Set<string>();
    for (const { type, layerIndex, slot } of inodes) {
      const { files, directories } = slots[layerIndex]!;
      expect(slot).toBeGreaterThanOrEqual(0);
      expect(slot).toBeLessThan(type === "dir" ? directories : files);
      used.add(`${layerIndex} ${type} ${slot}`);
    }
    expect(used.size).toBe(7);
    expect(root.slot).toBe(-1);
  });

  test("of a directory are those of the topmost entry for it, the last of two in one layer", () => {
    const placeOf = (...layers: readonly (readonly LayerEntry[])[]): number[] => {
      const { layerIndex, slot } = at(flatten(...layers), "d/e");
      return [layerIndex, slot];
    };
    const [first, touched] = [[directory("d"), directory("d/e")], [directory("d/e")]];
    expect(placeOf(first)).toEqual([0, 1]);
    expect(placeOf(first, touched)).toEqual([1, 0]);
    expect(placeOf(first, touched, [layerEntry("d/e/f")], [directory("d")])).toEqual([1, 0]);
    expect(placeOf([...first, directory("./d//e/")])).toEqual([0, 2]);
    // One that was taken away and comes again is the upper layer's all the same.
    expect(placeOf(first, [layerEntry("d/.wh.e"), directory("x"), directory("d/e")])).toEqual([1, 1]);
    expect(placeOf(first, [directory("x"), directory("d/e"), layerEntry("d/.wh.e")])).toEqual([1, 1]);
    // Implied ones take the slots after all entries', and leave them when an entry comes.
    expect(placeOf([layerEntry("d/e/f"), directory("x")])).toEqual([0, 2]);
    expect(placeOf([layerEntry("d/e/f"), directory("d/e")])).toEqual([0, 0]);
    expect(placeOf([layerEntry("d/e/f")], [directory("d/e")])).toEqual([1, 0]);
    // Through a symbolic link, too: it is the directory that the entry is for.
    expect(placeOf([...first, symlink("l", "d")], [directory("x"), directory("l/e")])).toEqual([1, 1]);
  });

  test("of the root directory never change", () => {
    expect(flatten([directory("./")], [directory("./")])).toMatchObject({ layerIndex: 0, slot: -1 });
  });

  test("that a directory has left are counted", () => {
    const flattener = new Flattener();
    flattener.applyLayer(outlined([directory("d"), directory("e")]));
    flattener.applyLayer(outlined([directory("d"), directory("d")]));
    expect(flattener.finish().slots).toEqual([
      { files: 0, directories: 2 },
      { files: 0, directories: 2 },
    ]);
  });

  test("of files are the same whatever other layers do", () => {
    const alone = slotsOf(flatten(upper), ["g", "x/y", "x/z"]);
    expect(slotsOf(flatten(lower, upper), ["g", "x/y", "x/z"])).toEqual(alone);
    expect(slotsOf(flatten([directory("x"), layerEntry("g")], upper, lower), ["g", "x/y", "x/z"])).toEqual(
      alone,
    );
  });
});

test("name counts are right after every way to lose a name", () => {
  const base = [layerEntry("a"), link("b", "a"), link("d/c", "a"), link("d/e/f", "a"), link("g", "a")];
  const count = (...upper: LayerEntry[]): number => at(flatten(base, upper), "g").nameCount;
  expect(count()).toBe(5);
  expect(count(layerEntry(".wh.a"))).toBe(4);
  expect(count(layerEntry("b"))).toBe(4);
  expect(count(layerEntry(".wh.d"))).toBe(3);
  expect(count(layerEntry("d"))).toBe(3);
  expect(count(symlink("d", "b"))).toBe(3);
  expect(count(layerEntry("d/.wh..wh..opq"))).toBe(3);
  expect(count(layerEntry("x"), link("b", "x"))).toBe(4);
  expect(count(link("b", "a"))).toBe(5);
  expect(count(layerEntry(".wh.a"), layerEntry(".wh.b"), layerEntry(".wh.d"))).toBe(1);
});

test("an entry goes where its path leads by then, though the one before it lay there as well", () => {
  const names = (root: Inode, path: string): string[] => [...(at(root, path).children?.keys() ?? [])];
  const linked = flatten([
    directory("b"),
    layerEntry("a/1"),
    symlink("a", "b"),
    layerEntry("a/2"),
    layerEntry("a/3"),
  ]);
  expect(names(linked, "b")).toEqual(["2", "3"]);
  expect(
    names(flatten([directory("a"), layerEntry("a/1")], [layerEntry(".wh.a"), layerEntry("a/2")]), "a"),
  ).toEqual(["2"]);
  expect(codeOf([layerEntry("a/1"), layerEntry("a"), layerEntry("a/2")])).toBe("TREE_INVALID");
  // Ends of paths that are no names.
  const odd = flatten([
    layerEntry("a/b/1"),
    layerEntry("a/b/c/2"),
    directory("a/b/"),
    directory("a/b/."),
    layerEntry("a/b/../3"),
    layerEntry("a/b/..//4"),
    layerEntry("a/b//5"),
  ]);
  expect([names(odd, "a"), names(odd, "a/b")]).toEqual([
    ["b", "3", "4"],
    ["1", "c", "5"],
  ]);
  expect(codeOf([layerEntry("a/1"), layerEntry(`a/${"n".repeat(256)}`)])).toBe("PATH_TOO_LONG");
});

test("5000 levels of directories are made, linked to and taken away", () => {
  const deep = Array.from({ length: 5000 }, (_, i) => `d${i % 10}`).join("/");
  const root = flatten([layerEntry("a"), link(`${deep}/a`, "a")]);
  expect(at(root, `${deep}/a`).nameCount).toBe(2);
  expect(at(flatten([layerEntry("a"), link(`${deep}/a`, "a")], [layerEntry(".wh.d0")]), "a").nameCount).toBe(
    1,
  );
});

test("an entry far down that comes 2000 times costs no more each time", () => {
  const rows: Row[] = Array.from({ length: 2000 }, (_, i) => ["f", `d/e/${i % 3}`, "x"]);
  expect(flattenTars([tarOfEntries(entriesOf(rows, 0))])).toHaveLength(6);
});
