/**
 * Slots: the order in which a layer's inodes are numbered and its directories' blocks lie (docs/format/disk-image.md,
 * "Slots"). A pure function of the layer, made so that a file more or less moves few others: the files of one
 * directory are a run, and now and then a run begins at a round slot whatever came before.
 */
import { asByteString, wordAt, type ByteString } from "../base/bytes.ts";
import { sha256OfByteString } from "../base/digest.ts";
import { isCutBefore } from "../base/draw.ts";
import { alignUp } from "../base/units.ts";
import type { LayerEntry } from "./layer-entry.ts";
import { isGeneratedPath } from "./path-class.ts";
import { ownByteString } from "./path.ts";
import type { LayerSlots } from "./tree.ts";

/** The slots of a layer. */
export interface AssignedSlots extends LayerSlots {
  /** By ordinal of the entry in the layer: a slot of its class, or -1 where it has none. */
  readonly slots: Int32Array;
}

/** A run is rounded up to a multiple of `unit` about once in `slotsPerCut` slots. */
interface Cut {
  readonly unit: number;
  readonly slotsPerCut: number;
}

/** Small cuts are many and end small shifts soon; large ones are few and end those that are larger than a small cut leaves room for. */
const FILE_CUTS: readonly Cut[] = [
  { unit: 512, slotsPerCut: 16384 },
  { unit: 64, slotsPerCut: 1024 },
  { unit: 16, slotsPerCut: 256 },
  { unit: 8, slotsPerCut: 128 },
];
/** A layer has a tenth as many directories, and a shift moves a block for each. */
const DIRECTORY_CUTS: readonly Cut[] = [
  { unit: 64, slotsPerCut: 1024 },
  { unit: 16, slotsPerCut: 256 },
  { unit: 8, slotsPerCut: 64 },
];
/**
 * Slots for each entry that cuts may take at most, and how many more. No layer comes near that but one whose paths are chosen for their
 * digests, which could take 512 for each of its directories.
 */
const SLOTS_PER_ENTRY_MAX = 2;
const SLOTS_MORE_MAX = 1024;

/** `count` rounded up to a multiple of `unit` and of an eighth of the power of two below it: at most 12.5 % or one unit more. */
export function coarse(count: number, unit: number): number {
  return withRoom(count, { unit, parts: 8 });
}

/**
 * Room for so many inodes: a multiple of the 16 of a block of inode table and of a sixteenth of the power of two below it. Tables are
 * written as they are, so that room costs more in them than where it is a matter of numbers alone.
 */
export function inodeRoom(count: number): number {
  return withRoom(count, { unit: 16, parts: 16 });
}

function withRoom(count: number, { unit, parts }: { unit: number; parts: number }): number {
  if (count === 0) return 0;
  return alignUp(count, Math.max(unit, 2 ** Math.floor(Math.log2(count)) / parts));
}

/** In place of a slot where there is none. */
export const NO_SLOT = -1;
/** Stands for the first run of files; the others go down from there. */
const FIRST_RUN = -2;
const ORDINALS_AT_FIRST = 1024;

/**
 * Gives slots to a layer's entries: a directory's at once, those of files run by run in the order in which their directories
 * first come, generated files behind all others.
 */
export class SlotAssigner {
  /**
   * By ordinal: a directory's slot, or -2 less the index of a file's run, or -1 where there is no slot. Numbers only, since a layer can
   * have a million entries; it grows.
   */
  #places = new Int32Array(ORDINALS_AT_FIRST);
  #entryCount = 0;
  /** The indexes of runs by their parents, in order. */
  readonly #shipped = new Map<ByteString, number>();
  readonly #generated = new Map<ByteString, number>();
  /** By index of the run: its entries. */
  readonly #counts: number[] = [];
  /** Neighbours mostly are of one directory. */
  #last = { parent: asByteString(""), isGenerated: false, runIndex: -1 };
  readonly #directories = new SlotRow(DIRECTORY_CUTS);

  /** Takes an entry in, in the order of the layer. */
  add({ type, path }: Pick<LayerEntry, "type" | "path">): void {
    if (this.#entryCount === this.#places.length) this.#grow();
    this.#places[this.#entryCount++] = this.#placeOf(type, path);
  }

  /** The slots of all entries taken in. Call it once. */
  finish(): AssignedSlots {
    const next: number[] = [];
    const layRuns = (runIndexes: ReadonlyMap<ByteString, number>, base: number): number => {
      const row = new SlotRow(FILE_CUTS);
      for (const [parent, runIndex] of runIndexes)
        next[runIndex] = base + row.take(parent, this.#counts[runIndex] ?? 0);
      return row.end;
    };
    const shipped = layRuns(this.#shipped, 0);
    const base = inodeRoom(shipped);
    const generated = layRuns(this.#generated, base);
    const slots = this.#places.subarray(0, this.#entryCount);
    for (let ordinal = 0; ordinal < slots.length; ordinal++) {
      const place = slots[ordinal] ?? NO_SLOT;
      if (place >= NO_SLOT) continue;
      const runIndex = FIRST_RUN - place;
      const slot = next[runIndex] ?? NO_SLOT;
      slots[ordinal] = slot;
      next[runIndex] = slot + 1;
    }
    return {
      slots,
      files: generated === 0 ? shipped : base + generated,
      directories: this.#directories.end,
    };
  }

  #placeOf(type: LayerEntry["type"], path: ByteString): number {
    if (type === "hardlink") return NO_SLOT;
    if (type === "dir") return this.#directories.take(withoutSlashes(path), 1);
    const runIndex = this.#runIndexOf(path);
    this.#counts[runIndex] = (this.#counts[runIndex] ?? 0) + 1;
    return FIRST_RUN - runIndex;
  }

  #grow(): void {
    const larger = new Int32Array(2 * this.#places.length);
    larger.set(this.#places);
    this.#places = larger;
  }

  #runIndexOf(path: ByteString): number {
    const parent = parentPath(path);
    const isGenerated = isGeneratedPath(path);
    const last = this.#last;
    if (last.runIndex >= 0 && parent === last.parent && isGenerated === last.isGenerated)
      return last.runIndex;
    const runIndexes = isGenerated ? this.#generated : this.#shipped;
    let runIndex = runIndexes.get(parent);
    if (runIndex === undefined) {
      runIndex = this.#counts.length;
      this.#counts.push(0);
      runIndexes.set(ownByteString(parent), runIndex);
    }
    this.#last = { parent, isGenerated, runIndex };
    return runIndex;
  }
}

function withoutSlashes(path: ByteString): ByteString {
  let end = path.length;
  while (end > 0 && path[end - 1] === "/") end--;
  return asByteString(path.slice(0, end));
}

/** The path up to its last name, as the archive writes it, less slashes at the end. */
function parentPath(path: ByteString): ByteString {
  const name = withoutSlashes(path);
  return asByteString(name.slice(0, name.lastIndexOf("/") + 1));
}

/** Runs one after another, with room where cuts are. */
class SlotRow {
  /** One more than the last slot. */
  end = 0;
  readonly #cuts: readonly Cut[];
  #entryCount = 0;

  constructor(cuts: readonly Cut[]) {
    this.#cuts = cuts;
  }

  /** The first slot of a run of so many entries; its name draws whether there is a cut before it. */
  take(name: ByteString, entryCount: number): number {
    const drawn = wordAt(sha256OfByteString(name), 0);
    const cut = this.#cuts.find(({ slotsPerCut }) => isCutBefore(drawn, entryCount, slotsPerCut));
    const rounded = alignUp(this.end, cut?.unit ?? 1);
    const isBounded = rounded <= SLOTS_PER_ENTRY_MAX * this.#entryCount + SLOTS_MORE_MAX;
    const slot = isBounded ? rounded : this.end;
    this.end = slot + entryCount;
    this.#entryCount += entryCount;
    return slot;
  }
}
