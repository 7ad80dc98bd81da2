/** What begins and ends between two files, written a second time: by looking back over the files before. */
import type { Boundary } from "../../src/segment/boundary.ts";

/** What is left of a file besides its whole chunks. */
export interface NaiveRest {
  readonly path: string;
  readonly blockCount: number;
}

/** The boundary before the file with that index. */
export function naiveBoundary(files: readonly NaiveRest[], index: number): Boundary {
  const own = namesOf(files, index);
  const before = index === 0 ? [] : namesOf(files, index - 1);
  const depth = own.findIndex((name, i) => name !== before[i]);
  return {
    depth,
    endedBlocks: index === 0 ? 0 : blocksUnder(files, before.slice(0, depth + 1), index - 1),
    parentBlocks: blocksUnder(files, own.slice(0, depth), index),
    beginsDirectory: own.length > depth + 1,
  };
}

/** Blocks of the file with that index and of those right before it, as far as all their paths begin with the names. */
function blocksUnder(files: readonly NaiveRest[], names: readonly string[], index: number): number {
  let blocks = 0;
  for (let i = index; i >= 0; i--) {
    const others = namesOf(files, i);
    if (names.some((name, at) => name !== others[at])) break;
    blocks += files[i]!.blockCount;
  }
  return blocks;
}

/** Names of directories end in a slash. A file's own name is like no other: no two files share it, nor does a directory have it. */
function namesOf(files: readonly NaiveRest[], index: number): string[] {
  const names = files[index]!.path.split("/").filter((name) => !["", "."].includes(name));
  const own = `${names.pop() ?? ""}, file ${index}`;
  return [...names.map((name) => `${name}/`), own];
}
