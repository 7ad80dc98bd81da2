/** Where the blocks of one file are, piece by piece as their places become known. */
import { assert } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import type { BlockRun, FileBody } from "../tree/layer-entry.ts";

/** ext4's block, the unit in which bodies are placed. */
export const SEGMENT_BLOCK_BYTES = 4096;

/** The blocks of a file that are not holes, as runs by their ordinals in the file, ascending. */
export type FileBlocks = readonly { readonly fileBlock: number; readonly blockCount: number }[];

const NO_RUNS: readonly BlockRun[] = [];

/**
 * A body whose runs may not all be known yet. There can be a million of them, and nearly every one has all of its blocks in one
 * run: that takes one number here instead of an array and an object.
 */
export class PlacedBody implements FileBody {
  readonly sizeBytes: number;
  /** The runs, or of a single one that has all blocks of the file its first in the segment. */
  #where: readonly BlockRun[] | number;

  constructor(sizeBytes: number, runs: readonly BlockRun[] = NO_RUNS) {
    this.sizeBytes = sizeBytes;
    this.#where = NO_RUNS;
    this.place(runs);
  }

  get runs(): readonly BlockRun[] {
    if (typeof this.#where !== "number") return this.#where;
    const blockCount = divCeil(this.sizeBytes, SEGMENT_BLOCK_BYTES);
    return [{ fileBlock: 0, segmentBlock: this.#where, blockCount }];
  }

  /** Says where the body is; the runs are not copied. */
  place(runs: readonly BlockRun[]): void {
    const [first] = runs;
    const isOne =
      runs.length === 1 &&
      first?.fileBlock === 0 &&
      first.blockCount === divCeil(this.sizeBytes, SEGMENT_BLOCK_BYTES);
    this.#where = isOne ? first.segmentBlock : runs.length === 0 ? NO_RUNS : runs;
  }
}

/** Blocks get their places in order: first come those of the file's first blocks. */
export class FilePlace {
  readonly body: PlacedBody;
  readonly blockCount: number;
  readonly #blocks: FileBlocks;
  /** Neighbours in file and segment are one run. */
  readonly #runs: BlockRun[] = [];
  #runIndex = 0;
  /** Blocks of that run that have their place. */
  #placed = 0;

  constructor(sizeBytes: number, blocks: FileBlocks) {
    this.body = new PlacedBody(sizeBytes);
    this.#blocks = blocks;
    this.blockCount = blocks.reduce((sum, run) => sum + run.blockCount, 0);
  }

  /** True when all blocks have their places. */
  get isComplete(): boolean {
    return this.#runIndex === this.#blocks.length;
  }

  /** The next `blockCount` blocks lie from `segmentBlock` on. */
  put(segmentBlock: number, blockCount: number): void {
    for (let done = 0; done < blockCount;) {
      const run = this.#blocks[this.#runIndex];
      assert(run !== undefined, "a file has no more places than blocks");
      const count = Math.min(blockCount - done, run.blockCount - this.#placed);
      this.#add({
        fileBlock: run.fileBlock + this.#placed,
        segmentBlock: segmentBlock + done,
        blockCount: count,
      });
      done += count;
      this.#placed += count;
      if (this.#placed < run.blockCount) continue;
      this.#runIndex++;
      this.#placed = 0;
    }
    this.body.place(this.#runs);
  }

  #add(run: BlockRun): void {
    const last = this.#runs.at(-1);
    const isNext =
      last !== undefined &&
      last.fileBlock + last.blockCount === run.fileBlock &&
      last.segmentBlock + last.blockCount === run.segmentBlock;
    if (!isNext) this.#runs.push(run);
    else this.#runs[this.#runs.length - 1] = { ...last, blockCount: last.blockCount + run.blockCount };
  }
}
