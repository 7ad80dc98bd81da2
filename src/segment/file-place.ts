/** Where the blocks of one file are, piece by piece as their places become known. */
import { assert } from "../base/error.ts";
import type { BlockRun } from "../tree/layer-entry.ts";

/** The blocks of a file that are not holes, as runs by their ordinals in the file, ascending. */
export type FileBlocks = readonly { readonly fileBlock: number; readonly blockCount: number }[];

/** Blocks get their places in order: first come those of the file's first blocks. */
export class FilePlace {
  /** What is known. Neighbours in file and segment are one run. */
  readonly runs: BlockRun[] = [];
  readonly blockCount: number;
  readonly #blocks: FileBlocks;
  #runIndex = 0;
  /** Blocks of that run that have their place. */
  #placed = 0;

  constructor(blocks: FileBlocks) {
    this.#blocks = blocks;
    this.blockCount = blocks.reduce((sum, run) => sum + run.blockCount, 0);
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
  }

  #add(run: BlockRun): void {
    const last = this.runs.at(-1);
    const isNext =
      last !== undefined &&
      last.fileBlock + last.blockCount === run.fileBlock &&
      last.segmentBlock + last.blockCount === run.segmentBlock;
    if (!isNext) this.runs.push(run);
    else this.runs[this.runs.length - 1] = { ...last, blockCount: last.blockCount + run.blockCount };
  }
}
