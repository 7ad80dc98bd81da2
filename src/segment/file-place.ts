/** Where the blocks of one file are, piece by piece as their places become known. */
import { assert } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import type { BlockRun, FileBody } from "../tree/layer-entry.ts";

/** ext4's block, the unit in which bodies are placed. */
export const SEGMENT_BLOCK_BYTES = 4096;

/** The blocks of a file that are not holes, as runs by their ordinals in the file, ascending. */
export type FileBlocks = readonly { readonly fileBlock: number; readonly blockCount: number }[];

const NO_RUNS: readonly BlockRun[] = [];
const NOWHERE = -1;

/**
 * A body whose runs may not all be known yet. There can be a million of them, and nearly every one has all of its blocks in one
 * run: that takes one number here instead of an array and an object.
 */
export class PlacedBody implements FileBody {
  readonly sizeBytes: number;
  #segmentBlock: number;
  #runs: readonly BlockRun[] | undefined;

  constructor(sizeBytes: number, runs: readonly BlockRun[] = NO_RUNS) {
    this.sizeBytes = sizeBytes;
    this.#segmentBlock = NOWHERE;
    this.#runs = undefined;
    this.place(runs);
  }

  get runs(): readonly BlockRun[] {
    if (this.#runs !== undefined) return this.#runs;
    if (this.#segmentBlock === NOWHERE) return NO_RUNS;
    return [
      {
        fileBlock: 0,
        segmentBlock: this.#segmentBlock,
        blockCount: divCeil(this.sizeBytes, SEGMENT_BLOCK_BYTES),
      },
    ];
  }

  /** Says where the body is; the runs are not copied. */
  place(runs: readonly BlockRun[]): void {
    const [first] = runs;
    const isOne =
      runs.length === 1 &&
      first?.fileBlock === 0 &&
      first.blockCount === divCeil(this.sizeBytes, SEGMENT_BLOCK_BYTES);
    this.#segmentBlock = isOne ? first.segmentBlock : NOWHERE;
    this.#runs = isOne || runs.length === 0 ? undefined : runs;
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
