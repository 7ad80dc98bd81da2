/** Where the files of a layer lie in its segment, in a form that is easy to read. */
import { tarBuilder } from "../support/tar-builder.ts";
import { QUIET } from "./_paths.ts";
import { makeUnpacked } from "./_unpack.ts";

/** A path, and how many blocks the file has. */
export type Row = readonly [path: string, blockCount: number];

/** Of each file its runs, as `chunk:block+blocks`. */
export function placesOf(...rows: readonly Row[]): string[] {
  const tar = tarBuilder();
  for (const [path, blockCount] of rows) tar.file(path, new Uint8Array(blockCount * 4096).fill(1));
  return makeUnpacked(tar.end()).entries.map(({ body }) => {
    const runs = body?.runs ?? [];
    return runs
      .map(({ segmentBlock: at, blockCount }) => `${Math.floor(at / 128)}:${at % 128}+${blockCount}`)
      .join(" ");
  });
}

/** The same of files in the root directory's group, in which there are that many blocks before: chunks from 0 on, without a gap. */
export function placesBehind(blocksBefore: number, ...rows: readonly Row[]): string[] {
  const before: Row[] = [];
  for (let left = blocksBefore; left > 0; left -= 64)
    before.push([QUIET[before.length + 20]!, Math.min(left, 64)]);
  return placesOf(...before, ...rows).slice(before.length);
}
