/** Stacks with hard links and with symlinks in the way (image-spec layer.md, "Hard Links"). */
import type { StackCase } from "../support/layer-rows.ts";

export const HARD_LINK_CASES: readonly StackCase[] = [
  {
    name: "hard links within a layer",
    layers: [
      [
        ["f", "a", "1"],
        ["h", "b", "a"],
        ["h", "d/c", "./b"],
      ],
    ],
    tree: { "/a": "f 1 #1", "/b": "f 1 #1", "/d": "d implied", "/d/c": "f 1 #1" },
  },
  {
    name: "a hard link to a file of a lower layer",
    layers: [[["f", "a", "1"]], [["h", "b", "a"]]],
    tree: { "/a": "f 1 #1", "/b": "f 1 #1" },
  },
  {
    name: "a linked file replaced above under one of its names",
    layers: [
      [
        ["f", "a", "1"],
        ["h", "b", "a"],
        ["h", "c", "a"],
      ],
      [["f", "a", "2"]],
    ],
    tree: { "/a": "f 2", "/b": "f 1 #1", "/c": "f 1 #1" },
  },
  {
    name: "a hard link to the new file of that name",
    layers: [
      [
        ["f", "a", "1"],
        ["h", "b", "a"],
      ],
      [
        ["f", "a", "2"],
        ["h", "c", "a"],
      ],
    ],
    tree: { "/a": "f 2 #2", "/b": "f 1", "/c": "f 2 #2" },
  },
  {
    name: "a whiteout takes one name of a linked file",
    layers: [
      [
        ["f", "a", "1"],
        ["d", "d"],
        ["h", "d/b", "a"],
      ],
      [["w", ".wh.a"]],
    ],
    tree: { "/d": "d", "/d/b": "f 1" },
  },
  {
    name: "an opaque directory takes the names in it",
    layers: [
      [
        ["f", "a", "1"],
        ["h", "b", "a"],
        ["d", "d"],
        ["h", "d/c", "a"],
      ],
      [["w", "d/.wh..wh..opq"]],
    ],
    tree: { "/a": "f 1 #1", "/b": "f 1 #1", "/d": "d" },
  },
  {
    name: "hard links to symlinks, devices and fifos",
    layers: [
      [
        ["l", "l", "x"],
        ["h", "l2", "l"],
        ["c", "c", "5:1"],
        ["h", "c2", "c"],
        ["p", "p"],
        ["h", "p2", "p"],
      ],
    ],
    tree: {
      "/c": "c 5:1 #1",
      "/c2": "c 5:1 #1",
      "/l": "l x #2",
      "/l2": "l x #2",
      "/p": "p #3",
      "/p2": "p #3",
    },
  },
  {
    name: "a hard link takes the place of a directory that its target is in",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
      ],
      [["h", "d", "d/a"]],
    ],
    tree: { "/d": "f 1" },
    umoci: "umoci removes the directory first, and finds no target then",
  },
  {
    name: "a hard link again to the same inode changes nothing",
    layers: [
      [
        ["f", "a", "1"],
        ["h", "b", "a"],
      ],
      [
        ["h", "b", "a"],
        ["h", "a", "b"],
      ],
    ],
    tree: { "/a": "f 1 #1", "/b": "f 1 #1" },
    umoci: "umoci removes the name first; where it was the target's own, the link fails",
  },
];

export const SYMLINK_CASES: readonly StackCase[] = [
  {
    name: "merged /usr: entries below a relative symlink of a lower layer",
    layers: [
      [
        ["d", "usr"],
        ["d", "usr/bin"],
        ["f", "usr/bin/sh", "1"],
        ["l", "bin", "usr/bin"],
      ],
      [
        ["f", "bin/ls", "2"],
        ["w", "bin/.wh.sh"],
      ],
    ],
    tree: { "/bin": "l usr/bin", "/usr": "d", "/usr/bin": "d", "/usr/bin/ls": "f 2" },
  },
  {
    name: "an absolute symlink starts at the image's root directory",
    layers: [
      [
        ["d", "var"],
        ["l", "a", "/var"],
      ],
      [["f", "a/b/c", "1"]],
    ],
    tree: { "/a": "l /var", "/var": "d", "/var/b": "d implied", "/var/b/c": "f 1" },
  },
  {
    name: "no link leads out of the tree",
    layers: [
      [
        ["l", "up", "../../../.."],
        ["l", "abs", "/../.."],
        ["d", "d"],
        ["l", "d/up", "../.."],
      ],
      [
        ["f", "up/a", "1"],
        ["f", "abs/b", "2"],
        ["f", "d/up/c", "3"],
      ],
    ],
    tree: {
      "/a": "f 1",
      "/abs": "l /../..",
      "/b": "f 2",
      "/c": "f 3",
      "/d": "d",
      "/d/up": "l ../..",
      "/up": "l ../../../..",
    },
  },
  {
    name: "a link to a directory that is missing makes it",
    layers: [[["l", "a", "b/c"]], [["f", "a/f", "1"]]],
    tree: { "/a": "l b/c", "/b": "d implied", "/b/c": "d implied", "/b/c/f": "f 1" },
  },
  {
    name: "hard links through symlinked directories",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["l", "s", "d"],
      ],
      [
        ["h", "b", "s/a"],
        ["h", "s/c", "d/a"],
      ],
    ],
    tree: { "/b": "f 1 #1", "/d": "d", "/d/a": "f 1 #1", "/d/c": "f 1 #1", "/s": "l d" },
  },
  {
    name: "the last name of a path is never followed",
    layers: [
      [
        ["f", "a", "1"],
        ["l", "s", "a"],
      ],
      [["f", "s", "2"]],
    ],
    tree: { "/a": "f 1", "/s": "f 2" },
  },
];
