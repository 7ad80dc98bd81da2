/** What a segment must be, written a second time: lists of blocks that are cut up and joined. */
import { createHash } from "node:crypto";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
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

interface NaiveGroup {
  blocks: NaiveBlock[];
  begins: { drawn: number; at: number }[];
  drawnForTail: number;
}

/** u32(SHA-256(path)[4i:4i + 4]) for i of 0 and 1. */
function draw(path: string): [number, number] {
  const digest = createHash("sha256").update(path, "latin1").digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

const cut = (d: number, n: number, b: number): boolean => BigInt(d) * BigInt(b) < BigInt(n) * 2n ** 32n;

function isState(path: string): boolean {
  const names = path.split("/").filter((name) => !["", "."].includes(name));
  return names[0] === "var" && names.length < 5;
}

/** The segment once more, as lists of blocks that are cut up and joined: docs/format/disk-image.md, "Segments". */
export function naiveSegment(files: readonly NaiveFile[]): { bytes: Uint8Array; places: number[][][] } {
  const chunks: (NaiveBlock | undefined)[][] = [];
  const [usual, state] = [0, 1].map((): NaiveGroup => ({ blocks: [], begins: [], drawnForTail: 0 }));
  let tail: (NaiveBlock | undefined)[] | undefined;
  const addToTails = (block: NaiveBlock | undefined): void => {
    if (tail === undefined || tail.length === 128) chunks.push((tail = []));
    tail.push(block);
  };
  const endGroup = (group: NaiveGroup): void => {
    const { blocks } = group;
    const count = Math.ceil(blocks.length / 8) * 8;
    if (blocks.length === 128) {
      chunks.push(blocks);
    } else {
      if (cut(group.drawnForTail, count, 256)) tail = undefined;
      for (const block of blocks) addToTails(block);
      for (let i = blocks.length; i < count && tail!.length < 128; i++) addToTails(undefined);
    }
    [group.blocks, group.begins] = [[], []];
  };
  for (const [fileIndex, file] of files.entries()) {
    const blocks = blocksOf(file, fileIndex);
    while (blocks.length >= 128) chunks.push(blocks.splice(0, 128));
    if (blocks.length === 0) continue;
    const [drawn, drawnForTail] = draw(file.path);
    const group = isState(file.path) ? state! : usual!;
    if (group === usual && group.blocks.length > 0 && cut(drawn, blocks.length, 256)) endGroup(group);
    if (group.blocks.length === 0) group.drawnForTail = drawnForTail;
    group.begins.push({ drawn, at: group.blocks.length });
    if (group.blocks.length + blocks.length > 128) {
      const [best] = group.begins
        .filter(({ at }) => at >= 120)
        .sort((left, right) => left.drawn - right.drawn);
      if (best !== undefined) {
        chunks.push(group.blocks.splice(0, best.at));
        group.begins = [];
      }
    }
    group.blocks.push(...blocks);
    if (group.blocks.length <= 128) continue;
    chunks.push(group.blocks.splice(0, 128));
    group.begins = [];
  }
  for (const group of [usual!, state!]) if (group.blocks.length > 0) endGroup(group);
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
