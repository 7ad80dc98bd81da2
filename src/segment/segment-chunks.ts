/**
 * The chunks of a segment: which blocks of which files they have, and their bytes (docs/format/disk-image.md, "Segments").
 * Whole chunks of a file stand alone, so that they depend on no other file. What is left of it goes into the chunks of its
 * group; and what is left of a group, its tail, shares chunks with other tails.
 */
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { assert } from "../base/error.ts";
import type { ByteString } from "../base/bytes.ts";
import { alignUp } from "../base/units.ts";
import {
  BLOCKS_PER_GROUP_CUT,
  BLOCKS_PER_TAIL_CUT,
  drawOf,
  isCutBefore,
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
  #group: GroupChunk;
  /** Drawn for the tail of the group at hand. */
  #groupDrawn = 0;
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
    this.#group = this.#newGroupChunk();
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
    this.#rest = restCount === 0 ? [] : this.#placeRest(place, restCount, drawOf(path));
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
    this.#endGroup();
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

  /** Fewer blocks than a chunk has: in the group's chunk, or in the next where they do not fit. */
  #placeRest(place: FilePlace, blockCount: number, draw: Draw): Target[] {
    const { items } = this.#group;
    if (items.length > 0 && isCutBefore(draw.group, blockCount, BLOCKS_PER_GROUP_CUT)) this.#endGroup();
    if (this.#group.items.length === 0) this.#groupDrawn = draw.tail;
    if (this.#group.fill + blockCount > CHUNK_BLOCKS) this.#lookBack(draw.group);
    const item = { place, drawn: draw.group };
    const room = CHUNK_BLOCKS - this.#group.fill;
    if (blockCount <= room) return [add(this.#group, { ...item, blockCount })];
    // No file begins near the chunk's end: this one fills it and goes on in the next.
    const head = add(this.#group, { ...item, blockCount: room });
    const { items: full, bytes } = this.#group;
    this.#complete.push({ chunkIndex: this.#giveIndex(full), bytes });
    this.#group = this.#newGroupChunk();
    return [head, add(this.#group, { ...item, blockCount: blockCount - room })];
  }

  /** Ends a full chunk before the file that draws least of those that begin in its last blocks, the next one included. */
  #lookBack(nextDrawn: number): void {
    const { items, bytes, fill } = this.#group;
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
    this.#group = next;
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
  #endGroup(): void {
    const { items, bytes, fill } = this.#group;
    if (fill === CHUNK_BLOCKS) {
      this.#group = this.#newGroupChunk();
      this.#sink.add(this.#giveIndex(items), bytes);
      return;
    }
    if (fill === 0) return;
    const blockCount = alignUp(fill, TAIL_UNIT_BLOCKS);
    if (this.#tail !== undefined && isCutBefore(this.#groupDrawn, blockCount, BLOCKS_PER_TAIL_CUT)) {
      this.#endTailChunk();
    }
    for (const item of items) this.#putTail(item, bytes);
    if (this.#tail !== undefined)
      this.#tail.fill = Math.min(this.#tail.fill + blockCount - fill, CHUNK_BLOCKS);
    bytes.fill(0, 0, fill * SEGMENT_BLOCK_BYTES);
    this.#group = { bytes, fill: 0, items: [] };
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

  #newGroupChunk(): GroupChunk {
    return { bytes: this.#sink.newChunk(), fill: 0, items: [] };
  }

  #endTailChunk(): void {
    if (this.#tail !== undefined) this.#sink.add(this.#tail.chunkIndex, this.#tail.bytes);
    this.#tail = undefined;
  }
}

function add(group: GroupChunk, part: Omit<Item, "block">): Target {
  const block = group.fill;
  assert(block + part.blockCount <= CHUNK_BLOCKS, "the blocks fit the chunk");
  group.items.push({ ...part, block });
  group.fill += part.blockCount;
  return {
    bytes: group.bytes,
    offsetBytes: block * SEGMENT_BLOCK_BYTES,
    sizeBytes: part.blockCount * SEGMENT_BLOCK_BYTES,
  };
}
