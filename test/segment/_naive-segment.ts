/** What a segment must be, written a second time: lists of blocks that are cut up and joined. */
import { asByteString } from "../../src/base/bytes.ts";
import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { drawOf, isCutBefore } from "../../src/segment/cut.ts";
import type { SparseRegion } from "../../src/tar/entry.ts";

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

/** The segment once more, as lists of blocks that are cut up and joined: docs/format/disk-image.md, "Segments". */
export function naiveSegment(files: readonly NaiveFile[]): { bytes: Uint8Array; places: number[][][] } {
  const chunks: (NaiveBlock | undefined)[][] = [];
  let group: NaiveBlock[] = [];
  let begins: { drawn: number; at: number }[] = [];
  let drawnForTail = 0;
  let tail: (NaiveBlock | undefined)[] | undefined;
  const addToTails = (block: NaiveBlock | undefined): void => {
    if (tail === undefined || tail.length === 128) chunks.push((tail = []));
    tail.push(block);
  };
  const endGroup = (): void => {
    const count = Math.ceil(group.length / 4) * 4;
    if (group.length === 128) {
      chunks.push(group);
    } else {
      if (isCutBefore(drawnForTail, count, 384)) tail = undefined;
      for (const block of group) addToTails(block);
      for (let i = group.length; i < count && tail!.length < 128; i++) addToTails(undefined);
    }
    [group, begins] = [[], []];
  };
  for (const [fileIndex, file] of files.entries()) {
    const blocks = blocksOf(file, fileIndex);
    while (blocks.length >= 128) chunks.push(blocks.splice(0, 128));
    if (blocks.length === 0) continue;
    const drawn = drawOf(asByteString(file.path));
    if (group.length > 0 && isCutBefore(drawn.group, blocks.length, 192)) endGroup();
    if (group.length === 0) drawnForTail = drawn.tail;
    begins.push({ drawn: drawn.group, at: group.length });
    if (group.length + blocks.length > 128) {
      const [best] = begins.filter(({ at }) => at >= 120).sort((left, right) => left.drawn - right.drawn);
      if (best !== undefined) {
        chunks.push(group.splice(0, best.at));
        begins = [];
      }
    }
    group.push(...blocks);
    if (group.length <= 128) continue;
    chunks.push(group.splice(0, 128));
    begins = [];
  }
  if (group.length > 0) endGroup();
  const places: number[][][] = files.map(() => []);
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
    for (let at = offsetBytes; at < offsetBytes + count; at++) touched.add(Math.floor(at / BLOCK));
  }
  return [...touched].map((fileBlock) => ({
    fileIndex,
    fileBlock,
    bytes: whole.slice(fileBlock * BLOCK, (fileBlock + 1) * BLOCK),
  }));
}
