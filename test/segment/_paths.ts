/** Paths that make cuts, and paths that make none. */
import { asByteString } from "../../src/base/bytes.ts";
import { isCutBefore } from "../../src/base/draw.ts";
import { BLOCKS_PER_GROUP_CUT, BLOCKS_PER_TAIL_CUT, drawOf } from "../../src/segment/cut.ts";

/** A path before which a file of that many blocks begins a group. */
export function cuttingPath(blockCount: number, folder = ""): string {
  for (let i = 0; i < 100_000; i++) {
    const path = `${folder}p${i}`;
    if (isCutBefore(drawOf(asByteString(path)).group, blockCount, BLOCKS_PER_GROUP_CUT)) return path;
  }
  throw new Error("no such path");
}

/** A state file of one block that would begin a group if it were another file. */
export const CUTTING_STATE: string = cuttingPath(1, "var/");

/** Paths before which files of up to 64 blocks begin no group, and tails no chunk, in the order of their draws. */
export const QUIET: readonly string[] = quietPaths("");

/** Such paths of state files. */
export const QUIET_STATE: readonly string[] = quietPaths("var/");

function quietPaths(folder: string): string[] {
  return Array.from({ length: 100 }, (_, i) => `${folder}q${i}`)
    .map((path) => ({ path, ...drawOf(asByteString(path)) }))
    .filter(({ group }) => !isCutBefore(group, 64, BLOCKS_PER_GROUP_CUT))
    .filter(({ tail }) => !isCutBefore(tail, 64, BLOCKS_PER_TAIL_CUT))
    .sort((left, right) => left.group - right.group)
    .map(({ path }) => path);
}
