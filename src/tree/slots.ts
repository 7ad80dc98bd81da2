/**
 * Slots: the order in which a layer's inodes are numbered and its directories' blocks lie (docs/format/disk-image.md,
 * "Slots"). A pure function of the layer, made so that a file more or less moves few others: the files of one
 * directory share a run with some room, and now and then a run begins at a round slot whatever came before.
 */
import { asByteString, fromByteString, viewOf, type ByteString } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";
import { alignUp } from "../base/units.ts";
import type { LayerEntry } from "./layer-entry.ts";

/** The slots of one class of a layer's entries. */
export interface SlotRun {
  /** By ordinal of the entry in the layer; -1 for entries of the other class and those without an inode. */
  readonly slots: Int32Array;
  /** One more than the last slot. */
  readonly count: number;
}

/**
 * The room of a run of files is a multiple of 4, so that a directory can mostly take one more without moving what
 * follows. Directories get no such room: each of their slots is a block, and most runs are of one or two.
 */
export const FILE_RUN_UNIT = 4;
export const DIRECTORY_RUN_UNIT = 1;
/** A run is cut to such a multiple about every SLOTS_PER_CUT slots. */
const CUT_UNIT = 64;
const SLOTS_PER_CUT = 1024;

/** `count` rounded up to a multiple of `unit` and of an eighth of the power of two below it: at most 12.5 % or one unit more. */
export function coarse(count: number, unit: number): number {
  if (count === 0) return 0;
  return alignUp(count, Math.max(unit, 2 ** Math.floor(Math.log2(count)) / 8));
}

/**
 * Gives slots to the entries that `isMember` takes, run by run in the order in which their directories first come. A
 * run's room is its count rounded up by `coarse` to a multiple of `runUnit`.
 */
export function assignSlots(
  entries: readonly LayerEntry[],
  runUnit: number,
  isMember: (entry: LayerEntry) => boolean,
): SlotRun {
  const runs = new Map<ByteString, number[]>();
  entries.forEach((entry, ordinal) => {
    if (!isMember(entry)) return;
    const parent = parentPath(entry.path);
    const run = runs.get(parent);
    if (run === undefined) runs.set(parent, [ordinal]);
    else run.push(ordinal);
  });
  const slots = new Int32Array(entries.length).fill(-1);
  let count = 0;
  for (const [parent, run] of runs) {
    const room = coarse(run.length, runUnit);
    if (isCutBefore(parent, room)) count = alignUp(count, CUT_UNIT);
    for (const [i, ordinal] of run.entries()) slots[ordinal] = count + i;
    count += room;
  }
  return { slots, count };
}

/** The path up to its last name, as the archive writes it, less slashes at the end. */
function parentPath(path: ByteString): ByteString {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return asByteString(path.slice(0, path.lastIndexOf("/", end - 1) + 1));
}

/** As for segments: by the first 32 bits of the path's SHA-256, against the room's share of SLOTS_PER_CUT. */
function isCutBefore(parent: ByteString, room: number): boolean {
  const drawn = viewOf(sha256(fromByteString(parent))).getUint32(0, true);
  return drawn * SLOTS_PER_CUT < room * 2 ** 32;
}
