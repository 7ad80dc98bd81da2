/**
 * Slots: the order in which a layer's inodes are numbered and its directories' blocks lie (docs/format/disk-image.md,
 * "Slots"). A pure function of the layer, made so that a file more or less moves few others: the files of one
 * directory share a run with some room, and now and then a run begins at a round slot whatever came before.
 */
import { asByteString, fromByteString, viewOf, type ByteString } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";
import { alignUp } from "../base/units.ts";
import { ownByteString } from "./path.ts";

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
 * Gives slots to entries of one class, run by run in the order in which their directories first come. A run's room is
 * its count rounded up by `coarse` to a multiple of `runUnit`.
 */
export class SlotAssigner {
  readonly #runUnit: number;
  /** By ordinal of the entry: the index of its run, or -1. Numbers only, since a layer can have a million entries. */
  readonly #runs: Int32Array;
  /** The index of each directory's run, in order. */
  readonly #runIndexes = new Map<ByteString, number>();
  readonly #counts: number[] = [];
  /** Neighbours mostly are of one directory. */
  #last = { parent: asByteString(""), runIndex: -1 };

  /** For a layer of `entryCount` entries. */
  constructor(entryCount: number, runUnit: number) {
    this.#runs = new Int32Array(entryCount).fill(-1);
    this.#runUnit = runUnit;
  }

  /** Takes an entry in, in the order of the layer. */
  add(ordinal: number, path: ByteString): void {
    const parent = parentPath(path);
    if (this.#last.runIndex < 0 || parent !== this.#last.parent)
      this.#last = { parent, runIndex: this.#runOf(parent) };
    const { runIndex } = this.#last;
    this.#runs[ordinal] = runIndex;
    this.#counts[runIndex] = (this.#counts[runIndex] ?? 0) + 1;
  }

  /** The slots of all entries taken in. Call it once. */
  finish(): SlotRun {
    const next: number[] = [];
    let count = 0;
    for (const [parent, runIndex] of this.#runIndexes) {
      const room = coarse(this.#counts[runIndex] ?? 0, this.#runUnit);
      if (isCutBefore(parent, room)) count = alignUp(count, CUT_UNIT);
      next[runIndex] = count;
      count += room;
    }
    const slots = this.#runs.map((runIndex) => {
      const slot = next[runIndex];
      if (slot === undefined) return -1;
      next[runIndex] = slot + 1;
      return slot;
    });
    return { slots, count };
  }

  #runOf(parent: ByteString): number {
    const known = this.#runIndexes.get(parent);
    if (known !== undefined) return known;
    const runIndex = this.#runIndexes.size;
    this.#runIndexes.set(ownByteString(parent), runIndex);
    return runIndex;
  }
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
