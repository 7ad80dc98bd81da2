/** Stacks in which entries replace each other, and with names that are special elsewhere. */
import type { StackCase } from "../support/layer-rows.ts";

const LONG = "b".repeat(255);

export const REPLACED_CASES: readonly StackCase[] = [
  {
    name: "a file becomes a directory, a symlink and a file again",
    layers: [
      [["f", "a", "1"]],
      [
        ["d", "a"],
        ["f", "a/b", "2"],
      ],
      [["l", "a", "c"]],
      [["f", "a", "3"]],
    ],
    tree: { "/a": "f 3" },
  },
  {
    name: "a directory with content becomes a file",
    layers: [
      [
        ["d", "a"],
        ["d", "a/b"],
        ["f", "a/b/c", "1"],
      ],
      [["f", "a", "2"]],
    ],
    tree: { "/a": "f 2" },
  },
  {
    name: "a symlink to a directory becomes a directory; the link's target stays as it is",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
        ["l", "s", "d"],
      ],
      [
        ["d", "s"],
        ["f", "s/b", "2"],
      ],
    ],
    tree: { "/d": "d", "/d/a": "f 1", "/s": "d", "/s/b": "f 2" },
  },
  {
    name: "a directory's entry keeps its content",
    layers: [
      [
        ["d", "d"],
        ["f", "d/a", "1"],
      ],
      [["d", "d/"]],
    ],
    tree: { "/d": "d", "/d/a": "f 1" },
  },
  {
    name: "of entries with one path the last one counts",
    layers: [
      [
        ["f", "a", "1"],
        ["f", "./a", "2"],
        ["d", "b"],
        ["f", "b/c", "3"],
        ["p", "/b"],
      ],
    ],
    tree: { "/a": "f 2", "/b": "p" },
  },
  {
    name: "devices and fifos of lower layers are replaced and hidden",
    layers: [
      [
        ["c", "c", "1:3"],
        ["b", "b", "8:1"],
        ["p", "p"],
      ],
      [
        ["p", "c"],
        ["w", ".wh.b"],
        ["f", "p", "1"],
      ],
    ],
    tree: { "/c": "p", "/p": "f 1" },
  },
];

export const NAME_CASES: readonly StackCase[] = [
  {
    name: "names that are special elsewhere",
    layers: [
      [
        ["f", "__proto__", "1"],
        ["f", "constructor", "2"],
        ["f", "10", "3"],
        ["f", "9", "4"],
        ["f", "toString", "5"],
      ],
      [["w", ".wh.constructor"]],
    ],
    tree: JSON.parse('{"/10":"f 3","/9":"f 4","/__proto__":"f 1","/toString":"f 5"}') as Record<
      string,
      string
    >,
  },
  {
    name: "names that differ only in bytes that are no UTF-8, and a newline",
    layers: [
      [
        ["f", "\xff", "1"],
        ["f", "\xfe", "2"],
        ["f", "a\nb", "3"],
        ["f", "\xc3\xa4", "4"],
        ["f", "a\xcc\x88", "5"],
      ],
      [["w", ".wh.\xfe"]],
    ],
    tree: { "/a\nb": "f 3", "/a\xcc\x88": "f 5", "/\xc3\xa4": "f 4", "/\xff": "f 1" },
  },
  {
    name: "a name of 255 bytes",
    layers: [[["f", `d/${LONG}`, "1"]]],
    tree: { "/d": "d implied", [`/d/${LONG}`]: "f 1" },
  },
  {
    name: "paths in other spellings",
    layers: [
      [
        ["f", "./a", "1"],
        ["f", "/b", "2"],
        ["f", "c//d/./e", "3"],
        ["f", "c/x/../f", "4"],
        ["d", "g/"],
        ["d", "./"],
      ],
    ],
    tree: {
      "/": "d",
      "/a": "f 1",
      "/b": "f 2",
      "/c": "d implied",
      "/c/d": "d implied",
      "/c/d/e": "f 3",
      "/c/f": "f 4",
      "/g": "d",
    },
  },
  {
    name: "missing parents come into being, once",
    layers: [
      [["f", "a/b/c", "1"]],
      [
        ["d", "a/b"],
        ["f", "a/d", "2"],
      ],
    ],
    tree: { "/a": "d implied", "/a/b": "d", "/a/b/c": "f 1", "/a/d": "f 2" },
  },
  { name: "no layers have content", layers: [[], []], tree: {} },
];
