import { expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import { applyMtimePolicy, parseMtimePolicy, showMtimePolicy } from "../../src/tree/mtime-policy.ts";
import { makeSegment } from "../support/layer-tree.ts";
import { tarBuilder } from "../support/tar-builder.ts";

test.each(["preserve", "zero", "clamp:0", "clamp:1788220800", "clamp:15032385535"])(
  "%s reads and shows as the same text",
  (text) => {
    const policy = parseMtimePolicy(text);
    expect(policy && showMtimePolicy(policy)).toBe(text);
  },
);

test.each([
  ["nothing", ""],
  ["another word", "keep"],
  ["capitals", "Zero"],
  ["a clamp without a second", "clamp:"],
  ["a clamp without a colon", "clamp"],
  ["a second with a sign", "clamp:+1"],
  ["a second before 1970", "clamp:-1"],
  ["a second with zeros in front", "clamp:01"],
  ["a broken second", "clamp:1.5"],
  ["a second after the last that ext4 holds", "clamp:15032385536"],
  ["a line end", "zero\n"],
])("no policy is %s", (_, text) => {
  expect(parseMtimePolicy(text)).toBeUndefined();
});

const LATE = { seconds: 1001, nanoseconds: 5 };
test.each([
  ["preserve", LATE, LATE],
  ["zero", LATE, { seconds: 0, nanoseconds: 0 }],
  ["zero", { seconds: -5, nanoseconds: 1 }, { seconds: 0, nanoseconds: 0 }],
  ["clamp:1000", LATE, { seconds: 1000, nanoseconds: 0 }],
  ["clamp:1000", { seconds: 1000, nanoseconds: 1 }, { seconds: 1000, nanoseconds: 0 }],
  ["clamp:1000", { seconds: 1000, nanoseconds: 0 }, { seconds: 1000, nanoseconds: 0 }],
  ["clamp:1000", { seconds: 999, nanoseconds: 999_999_999 }, { seconds: 999, nanoseconds: 999_999_999 }],
  ["clamp:1000", { seconds: -1, nanoseconds: 0 }, { seconds: -1, nanoseconds: 0 }],
] as const)("under %s, %o becomes %o", (text, time, expected) => {
  const policy = parseMtimePolicy(text);
  const tree = new Flattener().finish();
  tree.rootDirectory.mtime = time;
  if (policy !== undefined) applyMtimePolicy(tree, policy);
  expect(tree.rootDirectory.mtime).toEqual(expected);
});

test("every inode of a tree gets its time, the root directory and deep ones too", () => {
  const flattener = new Flattener();
  const tar = tarBuilder().dir("./", { mtime: 2000 }).file("a/b/c", "", { mtime: 2000 }).end();
  flattener.applyLayer(makeSegment(tar).entries);
  const { rootDirectory, slots } = flattener.finish();
  applyMtimePolicy({ rootDirectory, slots }, { kind: "clamp", seconds: 1000 });
  const a = rootDirectory.children?.get(asByteString("a"));
  const c = a?.children?.get(asByteString("b"))?.children?.get(asByteString("c"));
  expect([rootDirectory, a, c].map((inode) => inode?.mtime.seconds)).toEqual([1000, 0, 1000]);
});
