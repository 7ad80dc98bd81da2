import fc from "fast-check";
import { describe, expect, test } from "vitest";

import { asByteString } from "../../src/base/bytes.ts";
import { Boundaries, type Boundary } from "../../src/segment/boundary.ts";
import { naiveBoundary, type NaiveRest } from "./_naive-boundary.ts";

function boundariesOf(files: readonly NaiveRest[]): Boundary[] {
  const boundaries = new Boundaries();
  return files.map(({ path, blockCount }) => boundaries.add(asByteString(path), blockCount));
}

/** Files of 1, 2, 4, 8... blocks, so that a sum says which files it is of. */
function lastOf(...paths: readonly string[]): [number, number, number, boolean] {
  const files = paths.map((path, i) => ({ path, blockCount: 2 ** i }));
  const { depth, endedBlocks, parentBlocks, beginsDirectory } = boundariesOf(files).at(-1)!;
  return [depth, endedBlocks, parentBlocks, beginsDirectory];
}

describe("between a file and the one before it", () => {
  test.each<[string, readonly string[], ReturnType<typeof lastOf>]>([
    // What is last: its depth, blocks that end before it, blocks of the parent, and whether a directory begins.
    ["the first file of all", ["a"], [0, 0, 1, false]],
    ["the first file of all, in directories", ["a/b/c"], [0, 0, 1, true]],
    ["a sibling", ["a/1", "a/2"], [1, 1, 3, false]],
    ["a sibling of several", ["a/1", "a/2", "a/3"], [1, 2, 7, false]],
    ["a sibling in the root directory", ["1", "2", "3"], [0, 2, 7, false]],
    ["going down", ["a/1", "a/b/2"], [1, 1, 3, true]],
    ["going down by two", ["a/1", "a/b/c/2"], [1, 1, 3, true]],
    ["going up", ["a/1", "a/b/2", "a/b/3", "a/4"], [1, 6, 15, false]],
    ["going up by two: all that ends is one directory", ["a/b/1", "a/b/c/2", "3"], [0, 3, 7, false]],
    ["from one directory to the next", ["0", "a/1", "a/2", "b/3"], [0, 6, 15, true]],
    ["from one deep directory to the next", ["0", "p/a/x/1", "p/a/2", "p/b/x/3"], [1, 6, 14, true]],
    ["the parent begins with its first file", ["0", "a/1", "a/2", "a/3"], [1, 4, 14, false]],
    ["a directory left and entered again begins anew", ["a/1", "b/2", "a/3", "a/4"], [1, 4, 12, false]],
    ["and what ends is not what was there before", ["a/1", "b/2", "a/3", "b/4"], [0, 4, 15, true]],
    ["a parent left by a subdirectory goes on", ["a/1", "a/b/2", "a/3", "a/b/4", "a/b/5"], [2, 8, 24, false]],
    ["empty names and dots are left out", ["a/b/1", "./a//b/./2"], [2, 1, 3, false]],
    ["a slash at the start", ["a/1", "/a/2"], [1, 1, 3, false]],
    ["slashes at the end", ["a/1/", "a/2//"], [1, 1, 3, false]],
    ["a slash at the end is no directory", ["a/", "b"], [0, 1, 3, false]],
    ["a dot at the end is no name", ["a/1/.", "a/2"], [1, 1, 3, false]],
    ["a dot at the end, twice in a directory", ["a/1/.", "a/1/./"], [1, 1, 3, false]],
    ["a name that begins with a dot is one", ["a/.1", "a/.2"], [1, 1, 3, false]],
    ["two dots are a name like others", ["a/../1", "a/../2", "1"], [0, 3, 7, false]],
    ["two dots at the end, too", ["a/..", "a/2"], [1, 1, 3, false]],
    ["without names: one empty name", ["", "."], [0, 1, 3, false]],
    ["without names behind one with some", ["a/1", "./"], [0, 1, 3, false]],
    ["with names behind one without", ["//", "a/1"], [0, 1, 3, true]],
    ["the start of a name is another name", ["ab/1", "a/2"], [0, 1, 3, true]],
    ["a file's name is later a directory's", ["a", "a/1"], [0, 1, 3, true]],
    ["a directory's name is later a file's", ["a/1", "a"], [0, 1, 3, false]],
    ["a directory does not have the blocks of a file of its name", ["a", "a/1", "a/2"], [1, 2, 6, false]],
    ["nor do they end together", ["a", "a/1", "b"], [0, 2, 7, false]],
    ["nor when the file comes later", ["a/1", "a", "b"], [0, 2, 7, false]],
    ["a path that comes twice is two files", ["a/1", "a/1", "a/2"], [1, 2, 7, false]],
  ])("%s", (_, paths, expected) => {
    expect(lastOf(...paths)).toEqual(expected);
  });

  test("are as if each looked back over all files", () => {
    const name = fc.constantFrom("a", "b", "c", "a", "b", ".", "", "..");
    const path = fc.array(name, { maxLength: 5 }).map((names) => names.join("/"));
    const file = fc.record({ path, blockCount: fc.integer({ min: 1, max: 127 }) });
    fc.assert(
      fc.property(fc.array(file, { maxLength: 40, size: "max" }), (files) => {
        expect(boundariesOf(files)).toEqual(files.map((_, i) => naiveBoundary(files, i)));
      }),
      { numRuns: 1000 },
    );
  });
});
