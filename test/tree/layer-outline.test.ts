import { expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import { OutlineBuilder, type LayerOutline } from "../../src/tree/layer-outline.ts";

function outlineOf(...entries: readonly (readonly [LayerEntry["type"], string])[]): LayerOutline {
  const builder = new OutlineBuilder();
  for (const [type, path] of entries) builder.add({ type, path: asByteString(path) });
  return builder.finish();
}

test("an outline has a slot for each entry but hard links, files and directories by themselves", () => {
  const outline = outlineOf(
    ["dir", "d/"],
    ["file", "d/a"],
    ["hardlink", "d/b"],
    ["dir", "e"],
    ["symlink", "d/c"],
  );
  expect(outline).toEqual({
    ...{ slots: Int32Array.of(0, 0, -1, 1, 1) },
    ...{ files: 2, directories: 2, hasWhiteouts: false },
  });
});

test.each([
  ["d/.wh.a", true],
  [".wh..wh..opq", true],
  ["d/.wh.plnk/1", true],
  // Found to be none by who looks closer.
  ["d/a.wh.b", true],
  ["d/.wha", false],
])("an outline says whether a path may be a whiteout's: %s", (path, hasWhiteouts) => {
  expect(outlineOf(["file", "a"], ["file", path], ["file", "b"])).toMatchObject({ hasWhiteouts });
});

test("an outline of many entries has them all", () => {
  const entries = Array.from({ length: 5000 }, (_, i) => ["file", `d/${i}`] as const);
  expect(outlineOf(...entries).slots).toEqual(Int32Array.from({ length: 5000 }, (_, i) => i));
});
