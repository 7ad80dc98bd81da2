/**
 * The chunks of a segment: which blocks of which files they have, and their bytes (docs/format/disk-image.md, "Segments").
 * Whole chunks of a file stand alone, so that they depend on no other file. What is left of it goes into the chunks of its
 * group; and what is left of a group, its tail, shares chunks with other tails. State files are a group of their own, which
 * is open beside the others until the layer ends.
 */
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { assert } from "../base/error.ts";
import type { ByteString } from "../base/bytes.ts";
import { isCutBefore } from "../base/draw.ts";
import { alignUp } from "../base/units.ts";
import { isStatePath } from "../tree/path-class.ts";
import {
  BLOCKS_PER_GROUP_CUT,
  BLOCKS_PER_TAIL_CUT,
  drawOf,
  LOOK_BACK_BLOCKS,
  TAIL_UNIT_BLOCKS,
  type Draw,
} from "./cut.ts";
import { FilePlace, SEGMENT_BLOCK_BYTES, type FileBlocks } from "./file-place.ts";

const CHUNK_BLOCKS = CHUNK_BYTES / SEGMENT_BLOCK_BYTES;

/** Takes the segment's chunks as they are complete, each once, in any order. */
export interface SegmentChunkSink {
  /** Memory of a chunk, all zero. */
  newChunk(): Uint8Array;
  /** The bytes become the receiver's. */
  add(chunkIndex: number, plain: Uint8Array): void;
}

/** Blocks of a file in a chunk that is being filled. */
interface Item {
  readonly place: FilePlace;
  readonly drawn: number;
  /** Within the chunk. */
  readonly block: number;
  readonly blockCount: number;
}

/** A chunk that takes the files of a group. It has no index before it is full: what it has may become a tail. */
interface GroupChunk {
  readonly bytes: Uint8Array;
  fill: number;
  items: Item[];
}

/** A group that takes files. */
interface Group {
  chunk: GroupChunk;
  /** Drawn for its tail by the file that began it. */
  drawn: number;
}

/** A chunk that takes tails. */
interface TailChunk {
  readonly chunkIndex: number;
  readonly bytes: Uint8Array;
  fill: number;
}

/** Where the bytes of the file at hand go: `sizeBytes` of them from the last target's end on. */
interface Target {
  readonly bytes: Uint8Array;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Takes files one after another, each with `begin`, any number of `write`, and `end`. */
export class SegmentChunks {
  readonly #sink: SegmentChunkSink;
  #chunkCount = 0;
  readonly #group: Group;
  /** That of the state files, once there is one. */
  #stateGroup: Group | undefined;
  #tail: TailChunk | undefined;
  /** Whole chunks of the file at hand: their bytes, and the index of the one being filled. */
  #wholeBytes = 0;
  #wholeIndex = 0;
  #whole: Uint8Array | undefined;
  #rest: readonly Target[] = [];
  /** Chunks that are complete when the file at hand is. */
  readonly #complete: { readonly chunkIndex: number; readonly bytes: Uint8Array }[] = [];

  constructor(sink: SegmentChunkSink) {
    this.#sink = sink;
    this.#group = this.#newGroup();
  }

  /**
   * The next file: its path as in the archive, its size and its blocks that are not holes. The place that is returned
   * is complete as soon as it is known where these are, after `finish` at the latest.
   */
  begin(path: ByteString, sizeBytes: number, blocks: FileBlocks): FilePlace {
    const place = new FilePlace(sizeBytes, blocks);
    const wholeChunks = Math.floor(place.blockCount / CHUNK_BLOCKS);
    this.#wholeBytes = wholeChunks * CHUNK_BYTES;
    this.#wholeIndex = this.#chunkCount;
    if (wholeChunks > 0) place.put(this.#chunkCount * CHUNK_BLOCKS, wholeChunks * CHUNK_BLOCKS);
    this.#chunkCount += wholeChunks;
    const restCount = place.blockCount - wholeChunks * CHUNK_BLOCKS;
    this.#rest = [];
    if (restCount > 0) {
      const draw = drawOf(path);
      this.#rest = this.#placeRest(this.#groupOf(path, restCount, draw), { place, restCount, draw });
    }
    return place;
  }

  /** Bytes at an offset into the file's blocks, put one behind the other without holes; offsets ascend. */
  write(offsetBytes: number, bytes: Uint8Array): void {
    let at = offsetBytes;
    let rest = bytes;
    while (rest.length > 0) {
      const target = at < this.#wholeBytes ? this.#wholeTarget(at) : this.#restTarget(at - this.#wholeBytes);
      const piece = rest.subarray(0, target.sizeBytes);
      target.bytes.set(piece, target.offsetBytes);
      at += piece.length;
      rest = rest.subarray(piece.length);
    }
  }

  /** Ends the file. */
  end(): void {
    if (this.#whole !== undefined) this.#sink.add(this.#wholeIndex, this.#whole);
    this.#whole = undefined;
    for (const { chunkIndex, bytes } of this.#complete.splice(0)) this.#sink.add(chunkIndex, bytes);
  }

  /** Gives away what is left; returns the number of chunks. Call it once, after the last file's `end`. */
  finish(): number {
    this.#endGroup(this.#group);
    if (this.#stateGroup !== undefined) this.#endGroup(this.#stateGroup);
    this.#endTailChunk();
    return this.#chunkCount;
  }

  #wholeTarget(at: number): Target {
    const within = at % CHUNK_BYTES;
    if (within === 0 && this.#whole !== undefined) {
      this.#sink.add(this.#wholeIndex++, this.#whole);
      this.#whole = undefined;
    }
    this.#whole ??= this.#sink.newChunk();
    return { bytes: this.#whole, offsetBytes: within, sizeBytes: CHUNK_BYTES - within };
  }

  #restTarget(at: number): Target {
    let within = at;
    for (const { bytes, offsetBytes, sizeBytes } of this.#rest) {
      if (within < sizeBytes) {
        return { bytes, offsetBytes: offsetBytes + within, sizeBytes: sizeBytes - within };
      }
      within -= sizeBytes;
    }
    throw new RangeError("more bytes came than the file has blocks");
  }

  /** The group that the rest of a file goes to; it begins with the file where there is a cut before it. */
  #groupOf(path: ByteString, restCount: number, draw: Draw): Group {
    let group = this.#group;
    if (isStatePath(path)) group = this.#stateGroup ??= this.#newGroup();
    else if (group.chunk.items.length > 0 && isCutBefore(draw.group, restCount, BLOCKS_PER_GROUP_CUT))
      this.#endGroup(group);
    if (group.chunk.items.length === 0) group.drawn = draw.tail;
    return group;
  }

  /** Fewer blocks than a chunk has: in the group's chunk, or in the next where they do not fit. */
  #placeRest(
    group: Group,
    { place, restCount, draw }: { place: FilePlace; restCount: number; draw: Draw },
  ): Target[] {
    if (group.chunk.fill + restCount > CHUNK_BLOCKS) this.#lookBack(group, draw.group);
    const item = { place, drawn: draw.group };
    const room = CHUNK_BLOCKS - group.chunk.fill;
    if (restCount <= room) return [add(group.chunk, item, restCount)];
    // No file begins near the chunk's end: this one fills it and goes on in the next.
    const head = add(group.chunk, item, room);
    const { items, bytes } = group.chunk;
    this.#complete.push({ chunkIndex: this.#giveIndex(items), bytes });
    group.chunk = this.#newGroupChunk();
    return [head, add(group.chunk, item, restCount - room)];
  }

  /** Ends a full chunk before the file that draws least of those that begin in its last blocks, the next one included. */
  #lookBack(group: Group, nextDrawn: number): void {
    const { items, bytes, fill } = group.chunk;
    const isNearEnd = (block: number): boolean => block >= CHUNK_BLOCKS - LOOK_BACK_BLOCKS;
    let best = isNearEnd(fill) ? { at: items.length, block: fill, drawn: nextDrawn } : undefined;
    for (let at = items.length - 1; at >= 0; at--) {
      const item = items[at];
      if (item === undefined || !isNearEnd(item.block)) break;
      if (best === undefined || item.drawn <= best.drawn) best = { at, block: item.block, drawn: item.drawn };
    }
    if (best === undefined) return;
    const { at, block } = best;
    const next = this.#newGroupChunk();
    const moved = bytes.subarray(block * SEGMENT_BLOCK_BYTES, fill * SEGMENT_BLOCK_BYTES);
    next.bytes.set(moved);
    moved.fill(0);
    next.items = items.slice(at).map((item) => ({ ...item, block: item.block - block }));
    next.fill = fill - block;
    group.chunk = next;
    this.#sink.add(this.#giveIndex(items.slice(0, at)), bytes);
  }

  /** Gives a group's chunk its index, and its files their places. */
  #giveIndex(items: readonly Item[]): number {
    const chunkIndex = this.#chunkCount++;
    for (const { place, block, blockCount } of items) {
      place.put(chunkIndex * CHUNK_BLOCKS + block, blockCount);
    }
    return chunkIndex;
  }

  /** Puts what the group has left behind the tails before it, split where their chunk ends. */
  #endGroup(group: Group): void {
    const { items, bytes, fill } = group.chunk;
    if (fill === CHUNK_BLOCKS) {
      group.chunk = this.#newGroupChunk();
      this.#sink.add(this.#giveIndex(items), bytes);
      return;
    }
    if (fill === 0) return;
    const blockCount = alignUp(fill, TAIL_UNIT_BLOCKS);
    if (this.#tail !== undefined && isCutBefore(group.drawn, blockCount, BLOCKS_PER_TAIL_CUT)) {
      this.#endTailChunk();
    }
    for (const item of items) this.#putTail(item, bytes);
    if (this.#tail !== undefined)
      this.#tail.fill = Math.min(this.#tail.fill + blockCount - fill, CHUNK_BLOCKS);
    bytes.fill(0, 0, fill * SEGMENT_BLOCK_BYTES);
    group.chunk = { bytes, fill: 0, items: [] };
  }

  #putTail(item: Item, from: Uint8Array): void {
    for (let done = 0; done < item.blockCount;) {
      if (this.#tail?.fill === CHUNK_BLOCKS) this.#endTailChunk();
      this.#tail ??= { chunkIndex: this.#chunkCount++, bytes: this.#sink.newChunk(), fill: 0 };
      const { chunkIndex, bytes, fill } = this.#tail;
      const count = Math.min(item.blockCount - done, CHUNK_BLOCKS - fill);
      const start = (item.block + done) * SEGMENT_BLOCK_BYTES;
      bytes.set(from.subarray(start, start + count * SEGMENT_BLOCK_BYTES), fill * SEGMENT_BLOCK_BYTES);
      item.place.put(chunkIndex * CHUNK_BLOCKS + fill, count);
      this.#tail.fill += count;
      done += count;
    }
  }

  #newGroup(): Group {
    return { chunk: this.#newGroupChunk(), drawn: 0 };
  }

  #newGroupChunk(): GroupChunk {
    return { bytes: this.#sink.newChunk(), fill: 0, items: [] };
  }

  #endTailChunk(): void {
    if (this.#tail !== undefined) this.#sink.add(this.#tail.chunkIndex, this.#tail.bytes);
    this.#tail = undefined;
  }
}

function add(chunk: GroupChunk, { place, drawn }: Pick<Item, "place" | "drawn">, blockCount: number): Target {
  const block = chunk.fill;
  assert(block + blockCount <= CHUNK_BLOCKS, "the blocks fit the chunk");
  chunk.items.push({ place, drawn, block, blockCount });
  chunk.fill += blockCount;
  return {
    bytes: chunk.bytes,
    offsetBytes: block * SEGMENT_BLOCK_BYTES,
    sizeBytes: blockCount * SEGMENT_BLOCK_BYTES,
  };
}
