/** Paths that make cuts, and paths that make none. */
import { asByteString } from "../../src/base/bytes.ts";
import { isCutBefore } from "../../src/base/draw.ts";
import { BLOCKS_PER_GROUP_CUT, BLOCKS_PER_TAIL_CUT, drawOf, type Draw } from "../../src/segment/cut.ts";

const CHUNK_BLOCKS = 128;

/** A path before which a file of that many blocks begins a group, and no tail a chunk. */
export function cuttingPath(blockCount: number, folder = ""): string {
  return pathWhere(`${folder}p`, (draw) => cutsGroup(draw, blockCount) && !cutsTail(draw, CHUNK_BLOCKS));
}

/** A path before which no file begins a group, but the tail of a group that it began, of that many blocks, a chunk. */
export function tailCuttingPath(blockCount: number, folder = ""): string {
  return pathWhere(`${folder}t`, (draw) => !cutsGroup(draw, CHUNK_BLOCKS) && cutsTail(draw, blockCount));
}

/** A state file of one block that would begin a group if it were another file. */
export const CUTTING_STATE: string = cuttingPath(1, "var/");

/** Paths before which files begin no group, and tails no chunk, in the order of their draws. */
export const QUIET: readonly string[] = quietPaths("");

/** Such paths of state files. */
export const QUIET_STATE: readonly string[] = quietPaths("var/");

/** Such paths of that folder. */
export function quietPaths(folder: string): string[] {
  return Array.from({ length: 100 }, (_, i) => `${folder}q${i}`)
    .map((path) => ({ path, draw: drawOf(asByteString(path)) }))
    .filter(({ draw }) => !cutsGroup(draw, CHUNK_BLOCKS) && !cutsTail(draw, CHUNK_BLOCKS))
    .sort((left, right) => left.draw.group - right.draw.group)
    .map(({ path }) => path);
}

function cutsGroup({ group }: Draw, blockCount: number): boolean {
  return isCutBefore(group, blockCount, BLOCKS_PER_GROUP_CUT);
}

function cutsTail({ tail }: Draw, blockCount: number): boolean {
  return isCutBefore(tail, blockCount, BLOCKS_PER_TAIL_CUT);
}

function pathWhere(start: string, isIt: (draw: Draw) => boolean): string {
  for (let i = 0; i < 100_000; i++) {
    const path = `${start}${i}`;
    if (isIt(drawOf(asByteString(path)))) return path;
  }
  throw new Error("no such path");
}
