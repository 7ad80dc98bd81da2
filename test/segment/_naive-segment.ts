/** What a segment must be, written a second time: lists of blocks that are cut up and joined. */
import { createHash } from "node:crypto";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import type { Boundary } from "../../src/segment/boundary.ts";
import type { SparseRegion } from "../../src/tar/entry.ts";
import { naiveBoundary, type NaiveRest } from "./_naive-boundary.ts";

const BLOCK = 4096;

/** A file: its path, the regions that have bytes, and these bytes. */
export interface NaiveFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly regions: readonly SparseRegion[];
  readonly body: Uint8Array;
}

interface NaiveBlock {
  readonly fileIndex: number;
  readonly fileBlock: number;
  readonly bytes: Uint8Array;
}

/** A file in a group: which of the chunk's blocks is its first, and what is known of it. */
interface Start extends Boundary {
  readonly at: number;
  readonly drawn: readonly [number, number];
}

/** The chunk of a group that is not full yet. */
interface NaiveGroup {
  blocks: NaiveBlock[];
  starts: Start[];
  drawnForTail: number;
  /** Where the group ended before directories in the second half of a chunk, since a cut was drawn. */
  lateEnds: number[];
}

interface NaiveChunks {
  /** In the order of their numbers; without a block where a tail was rounded up. */
  readonly chunks: (NaiveBlock | undefined)[][];
  /** One of the chunks. */
  tail: (NaiveBlock | undefined)[] | undefined;
}

const WITHOUT_BOUNDARY: Boundary = { depth: 0, endedBlocks: 0, parentBlocks: 0, beginsDirectory: false };

/** u32(SHA-256(path)[4i:4i + 4]) for i of 0 and 1. */
function draw(path: string): [number, number] {
  const digest = createHash("sha256").update(path, "latin1").digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

const cut = (d: number, n: number, b: number): boolean => BigInt(d) * BigInt(b) < BigInt(n) * 2n ** 32n;

function isState(path: string): boolean {
  const names = path.split("/").filter((name) => !["", "."].includes(name));
  if (names[0] === "var" && names.length < 5) return true;
  return /(\.lock|-lock\.json|-lock\.yaml)$/.test(names.at(-1) ?? "");
}

/** The segment once more, as lists of blocks that are cut up and joined: docs/format/disk-image.md, "Segments". */
export function naiveSegment(files: readonly NaiveFile[]): { bytes: Uint8Array; places: number[][][] } {
  const made: NaiveChunks = { chunks: [], tail: undefined };
  const newGroup = (): NaiveGroup => ({ blocks: [], starts: [], drawnForTail: 0, lateEnds: [] });
  const groups = { usual: newGroup(), small: newGroup(), state: newGroup() };
  const usualRests: NaiveRest[] = [];
  let blocksBefore = 0;
  for (const [fileIndex, file] of files.entries()) {
    const blocks = blocksOf(file, fileIndex);
    const isSmall = blocks.length <= 4 && blocksBefore < 2048;
    blocksBefore += blocks.length;
    while (blocks.length >= 128) made.chunks.push(blocks.splice(0, 128));
    if (blocks.length === 0) continue;
    const drawn = draw(file.path);
    const group = isState(file.path) ? groups.state : isSmall ? groups.small : groups.usual;
    let boundary = WITHOUT_BOUNDARY;
    if (group === groups.usual) {
      usualRests.push({ path: file.path, blockCount: blocks.length });
      boundary = naiveBoundary(usualRests, usualRests.length - 1);
      const isBehindPackage = boundary.endedBlocks >= 128 && boundary.parentBlocks >= 512;
      const isDrawn = cut(drawn[0], blocks.length, 512);
      if (isDrawn) group.lateEnds = [];
      if (isBehindPackage || isDrawn) endGroup(made, group);
    }
    addToGroup(made, group, { ...boundary, drawn }, blocks);
  }
  for (const group of [groups.usual, groups.small, groups.state]) endGroup(made, group);
  return joined(made.chunks, files.length);
}

function addToGroup(
  made: NaiveChunks,
  group: NaiveGroup,
  file: Omit<Start, "at">,
  blocks: readonly NaiveBlock[],
): void {
  const fits = (): boolean => group.blocks.length + blocks.length <= 128;
  const next = (): Start => ({ ...file, at: group.blocks.length });
  if (group.blocks.length === 0) group.drawnForTail = file.drawn[1];
  if (!fits()) {
    const others = [...group.starts.slice(1), next()];
    const leastDepth = Math.min(...others.map(({ depth }) => depth));
    const last = others.filter(({ depth }) => depth === leastDepth).at(-1)!;
    const isLarge = last.beginsDirectory && last.parentBlocks >= 512;
    const isLate = last.at > 64;
    if (isLarge && last.at < 118 && !(isLate && group.lateEnds.length === 2)) {
      if (isLate) group.lateEnds.push(last.at);
      const begun = cutGroup(group, last.at);
      endGroup(made, group);
      Object.assign(group, begun, { drawnForTail: last.drawn[1] });
    }
  }
  if (!fits()) {
    const [best] = [...group.starts, next()]
      .filter(({ at }) => at >= 118)
      .sort((left, right) => left.depth - right.depth || left.drawn[0] - right.drawn[0]);
    if (best !== undefined) {
      const begun = cutGroup(group, best.at);
      made.chunks.push(group.blocks);
      Object.assign(group, begun);
    }
  }
  group.starts.push(next());
  group.blocks.push(...blocks);
  if (group.blocks.length <= 128) return;
  made.chunks.push(group.blocks.splice(0, 128));
  group.starts = [{ ...file, at: 0 }];
}

/** Takes the blocks from a file's first on away. */
function cutGroup({ blocks, starts }: NaiveGroup, cutAt: number): Pick<NaiveGroup, "blocks" | "starts"> {
  const moved = starts.filter(({ at }) => at >= cutAt);
  return { blocks: blocks.splice(cutAt), starts: moved.map((start) => ({ ...start, at: start.at - cutAt })) };
}

function endGroup(made: NaiveChunks, group: NaiveGroup): void {
  const { blocks, drawnForTail } = group;
  [group.blocks, group.starts] = [[], []];
  if (blocks.length === 128) made.chunks.push(blocks);
  if (blocks.length === 0 || blocks.length === 128) return;
  const roundedCount = Math.ceil(blocks.length / 8) * 8;
  const left = 128 - (made.tail?.length ?? 0);
  if (cut(drawnForTail, roundedCount, 512) || (roundedCount > left && left <= 40)) made.tail = undefined;
  for (const block of blocks) {
    if (made.tail === undefined || made.tail.length === 128) made.chunks.push((made.tail = []));
    made.tail.push(block);
  }
  while (made.tail!.length % 8 > 0) made.tail!.push(undefined);
}

function joined(
  chunks: NaiveChunks["chunks"],
  fileCount: number,
): { bytes: Uint8Array; places: number[][][] } {
  const places = Array.from({ length: fileCount }, (): number[][] => []);
  const bytes = new Uint8Array(chunks.length * CHUNK_BYTES);
  for (const [chunkIndex, chunk] of chunks.entries()) {
    for (const [i, block] of chunk.entries()) {
      if (block === undefined) continue;
      bytes.set(block.bytes, (chunkIndex * 128 + i) * BLOCK);
      places[block.fileIndex]?.push([block.fileBlock, chunkIndex * 128 + i]);
    }
  }
  for (const list of places) list.sort((left, right) => left[0]! - right[0]!);
  return { bytes, places };
}

/** The blocks that the file's regions touch. */
function blocksOf({ sizeBytes, regions, body }: NaiveFile, fileIndex: number): NaiveBlock[] {
  const whole = new Uint8Array(sizeBytes + BLOCK);
  const touched = new Set<number>();
  let taken = 0;
  for (const { offsetBytes, sizeBytes: count } of regions) {
    whole.set(body.subarray(taken, taken + count), offsetBytes);
    taken += count;
    const end = offsetBytes + count;
    for (let block = Math.floor(offsetBytes / BLOCK); block * BLOCK < end; block++) touched.add(block);
  }
  return [...touched].map((fileBlock) => ({
    fileIndex,
    fileBlock,
    bytes: whole.subarray(fileBlock * BLOCK, (fileBlock + 1) * BLOCK),
  }));
}
