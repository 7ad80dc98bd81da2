/** Paths that make cuts, and paths that make none. */
import { asByteString } from "../../src/base/bytes.ts";
import { BLOCKS_PER_GROUP_CUT, drawOf, isCutBefore } from "../../src/segment/cut.ts";

/** A path before which a file of that many blocks begins a group. */
export function cuttingPath(blockCount: number): string {
  for (let i = 0; i < 100_000; i++) {
    const { group } = drawOf(asByteString(`p${i}`));
    if (isCutBefore(group, blockCount, BLOCKS_PER_GROUP_CUT)) return `p${i}`;
  }
  throw new Error("no such path");
}

/** Paths before which files of up to 64 blocks begin no group, in the order of their draws. */
export const QUIET: readonly string[] = Array.from({ length: 100 }, (_, i) => `q${i}`)
  .map((path) => ({ path, drawn: drawOf(asByteString(path)).group }))
  .filter(({ drawn }) => !isCutBefore(drawn, 64, BLOCKS_PER_GROUP_CUT))
  .sort((left, right) => left.drawn - right.drawn)
  .map(({ path }) => path);
