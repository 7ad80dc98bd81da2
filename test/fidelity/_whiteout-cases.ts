/** Stacks with whiteouts and opaque markers (image-spec layer.md, "Whiteouts"). */
import type { StackCase } from "../support/layer-rows.ts";

const IN_ORDER = "umoci applies whiteouts where they stand in the archive, to lower layers only";
const AUFS = "umoci takes an entry below a name of AUFS for a file";

export const WHITEOUT_CASES: readonly StackCase[] = [
  {
    name: "a whiteout hides a file of a lower layer",
    layers: [
      [
        ["f", "a", "1"],
        ["f", "b", "2"],
      ],
      [["w", ".wh.a"]],
    ],
    tree: { "/b": "f 2" },
  },
  {
    name: "a whiteout hides a directory with all below it",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["d", "d/e"],
        ["f", "d/e/b", "2"],
      ],
      [["w", "d/.wh.e"]],
    ],
    tree: { "/d": "d", "/d/a": "f 1" },
  },
  {
    name: "a whiteout hides a symlink, not what it leads to",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["l", "s", "d"],
      ],
      [["w", ".wh.s"]],
    ],
    tree: { "/d": "d", "/d/a": "f 1" },
  },
  {
    name: "a whiteout of what is not there makes nothing, not even its directory",
    layers: [
      [["d", "d"]],
      [
        ["w", "d/.wh.x"],
        ["w", "e/.wh.x"],
        ["w", ".wh.y"],
      ],
    ],
    tree: { "/d": "d" },
    umoci: "umoci makes the directory of a whiteout",
  },
  {
    name: "whiteouts in the base layer hide nothing",
    layers: [
      [
        ["w", ".wh.a"],
        ["f", "a", "1"],
        ["w", "d/.wh..wh..opq"],
        ["f", "d/b", "2"],
      ],
    ],
    tree: { "/a": "f 1", "/d": "d implied", "/d/b": "f 2" },
  },
  {
    name: "a whiteout does not hide what its own layer adds, before it or after it",
    layers: [
      [
        ["f", "a", "old"],
        ["f", "b", "old"],
      ],
      [
        ["f", "a", "new"],
        ["w", ".wh.a"],
        ["w", ".wh.b"],
        ["f", "b", "new"],
      ],
    ],
    tree: { "/a": "f new", "/b": "f new" },
  },
  {
    name: "delete and add again in one layer: the directory starts empty",
    layers: [
      [
        ["d", "d"],
        ["f", "d/old", "1"],
      ],
      [
        ["d", "d"],
        ["f", "d/new", "2"],
        ["w", ".wh.d"],
      ],
    ],
    tree: { "/d": "d", "/d/new": "f 2" },
    umoci: IN_ORDER,
  },
  {
    name: "an opaque marker hides all that lower layers have in its directory",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["d", "d/e"],
        ["f", "d/e/b", "2"],
      ],
      [
        ["d", "d"],
        ["w", "d/.wh..wh..opq"],
        ["f", "d/c", "3"],
      ],
    ],
    tree: { "/d": "d", "/d/c": "f 3" },
  },
  {
    name: "an opaque marker after its directory's entries",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
      ],
      [
        ["d", "d"],
        ["f", "d/c", "3"],
        ["f", "d/a", "4"],
        ["w", "d/.wh..wh..opq"],
      ],
    ],
    tree: { "/d": "d", "/d/a": "f 4", "/d/c": "f 3" },
  },
  {
    name: "an opaque marker in the root directory",
    layers: [
      [
        ["f", "a", "1"],
        ["d", "d"],
      ],
      [
        ["f", "b", "2"],
        ["w", ".wh..wh..opq"],
      ],
    ],
    tree: { "/b": "f 2" },
  },
  {
    name: "an opaque marker keeps its directory, with the lower layer's attributes",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
      ],
      [["w", "d/.wh..wh..opq"]],
    ],
    tree: { "/d": "d" },
  },
  {
    name: "an opaque marker acts through a symlink of a lower layer",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["l", "s", "d"],
      ],
      [["w", "s/.wh..wh..opq"]],
    ],
    tree: { "/d": "d", "/s": "l d" },
  },
  {
    name: "a directory replaced by a symlink: whiteouts below it do not reach the link's target",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["d", "e"],
        ["f", "e/a", "2"],
      ],
      [
        ["w", ".wh.d"],
        ["l", "d", "e"],
        ["w", "d/.wh.a"],
      ],
    ],
    tree: { "/d": "l e", "/e": "d", "/e/a": "f 2" },
    umoci: `${IN_ORDER}: through the new link it deletes the file`,
  },
  {
    name: "names that only look like whiteouts",
    layers: [
      [
        ["f", "a.wh.b", "1"],
        ["f", ".wh", "2"],
        ["f", ".whx", "3"],
        ["f", ".WH.a", "4"],
      ],
      [
        ["w", ".wh..wh..opqX"],
        ["w", ".wh..wh."],
      ],
    ],
    tree: { "/.WH.a": "f 4", "/.wh": "f 2", "/.whx": "f 3", "/a.wh.b": "f 1" },
  },
  {
    name: "AUFS metadata is no content",
    layers: [
      [
        ["f", ".wh..wh.aufs"],
        ["d", ".wh..wh.plnk"],
        ["f", ".wh..wh.plnk/1.2", "x"],
        ["d", ".wh..wh.orph"],
        ["f", "a", "1"],
      ],
    ],
    tree: { "/a": "f 1" },
    umoci: AUFS,
  },
  {
    name: "a hard link to a file that AUFS kept aside is that file",
    layers: [
      [["f", "a", "0"]],
      [
        ["d", ".wh..wh.plnk"],
        ["f", ".wh..wh.plnk/1.2", "x"],
        ["f", ".wh..wh.plnk/3.4", "not linked"],
        ["h", "a", ".wh..wh.plnk/1.2"],
        ["h", "d/b", ".wh..wh.plnk/1.2"],
        ["f", ".wh..wh.plnk/5.6", "y"],
        ["h", "c", ".wh..wh.plnk/5.6"],
      ],
    ],
    tree: { "/a": "f x #1", "/c": "f y", "/d": "d implied", "/d/b": "f x #1" },
    umoci: AUFS,
  },
  {
    name: "a character device 0:0 is a device, no whiteout",
    layers: [[["f", "a", "1"]], [["c", "a", "0:0"]]],
    tree: { "/a": "c 0:0" },
  },
];
