/**
 * The chunks of a segment: which blocks of which files they have, and their bytes (docs/format/disk-image.md, "Segments").
 * Whole chunks of a file stand alone, so that they depend on no other file. What is left of it goes into the chunks of its
 * group; and what is left of a group, its tail, shares chunks with other tails. State files are a group of their own, and so
 * are small files that come first; these two are open beside the others until the layer ends.
 */
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { assert } from "../base/error.ts";
import { partOf, type ByteString } from "../base/bytes.ts";
import { isCutBefore } from "../base/draw.ts";
import { alignUp } from "../base/units.ts";
import { isStatePath } from "../tree/path-class.ts";
import { Boundaries, type Boundary } from "./boundary.ts";
import {
  BLOCKS_PER_GROUP_CUT,
  BLOCKS_PER_TAIL_CUT,
  drawOf,
  FIRST_BLOCKS,
  LATE_ENDS_MAX,
  LOOK_BACK_BLOCKS,
  PARENT_BLOCKS_MIN,
  SMALL_FILE_BLOCKS,
  TAIL_ROOM_BLOCKS,
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

/**
 * What is left of a file besides its whole chunks, or the part of it in one chunk. One flat object for each file: there can be a million
 * in a layer, and each lives as long as its chunk is being filled.
 */
interface Rest {
  readonly place: FilePlace;
  readonly blockCount: number;
  /** Its first block within the chunk that has it. */
  block: number;
  readonly groupDrawn: number;
  readonly tailDrawn: number;
  /** Of its boundary. */
  readonly depth: number;
  readonly parentBlocks: number;
  readonly beginsDirectory: boolean;
}

/** A chunk that takes the files of a group. It has no index before it is full: what it has may become a tail. */
interface GroupChunk {
  readonly bytes: Uint8Array;
  fill: number;
  items: Rest[];
}

/** A group that takes files. */
interface Group {
  chunk: GroupChunk;
  /** Drawn for its tail by the file that began it. */
  drawn: number;
}

/** Of files in a group that is open until the layer ends: they go by no directories. */
const NO_BOUNDARY: Boundary = { depth: 0, endedBlocks: 0, parentBlocks: 0, beginsDirectory: false };

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
  readonly #boundaries = new Boundaries();
  /** How often the group ended before a directory in the second half of a chunk, since a cut was drawn. */
  #lateEnds = 0;
  /** That of small files that come first, once there is one. */
  #smallGroup: Group | undefined;
  /** That of the state files, once there is one. */
  #stateGroup: Group | undefined;
  /** Blocks of all files so far. */
  #blockCount = 0;
  #tail: TailChunk | undefined;
  /** Whole chunks of the file at hand: their bytes, the index of the first, and the one being filled. */
  #wholeBytes = 0;
  #wholeIndex = 0;
  #whole: { readonly ordinal: number; readonly bytes: Uint8Array } | undefined;
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
    const blockCount = place.blockCount - wholeChunks * CHUNK_BLOCKS;
    this.#rest = [];
    if (blockCount > 0) this.#rest = this.#placeRest(path, place, blockCount);
    this.#blockCount += place.blockCount;
    return place;
  }

  /** Bytes at an offset into the file's blocks, put one behind the other without holes; offsets ascend. */
  write(offsetBytes: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const at = offsetBytes + done;
      const target = at < this.#wholeBytes ? this.#wholeTarget(at) : this.#restTarget(at - this.#wholeBytes);
      const piece = partOf(bytes, done, target.sizeBytes);
      target.bytes.set(piece, target.offsetBytes);
      done += piece.length;
    }
  }

  /** Ends the file. */
  end(): void {
    this.#endWhole();
    for (const { chunkIndex, bytes } of this.#complete.splice(0)) this.#sink.add(chunkIndex, bytes);
  }

  /** Gives away what is left; returns the number of chunks. Call it once, after the last file's `end`. */
  finish(): number {
    for (const group of [this.#group, this.#smallGroup, this.#stateGroup])
      if (group !== undefined) this.#endGroup(group);
    this.#endTailChunk();
    return this.#chunkCount;
  }

  #wholeTarget(at: number): Target {
    const ordinal = Math.floor(at / CHUNK_BYTES);
    // The first byte of a chunk need not come: what a sparse file has of a block can begin anywhere in it.
    if (this.#whole?.ordinal !== ordinal) this.#endWhole();
    this.#whole ??= { ordinal, bytes: this.#sink.newChunk() };
    const offsetBytes = at % CHUNK_BYTES;
    return { bytes: this.#whole.bytes, offsetBytes, sizeBytes: CHUNK_BYTES - offsetBytes };
  }

  #endWhole(): void {
    if (this.#whole === undefined) return;
    this.#sink.add(this.#wholeIndex + this.#whole.ordinal, this.#whole.bytes);
    this.#whole = undefined;
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

  /** Fewer blocks than a chunk has: in a group's chunk, or in the next where they do not fit. */
  #placeRest(path: ByteString, place: FilePlace, blockCount: number): Target[] {
    const draw = drawOf(path);
    const open = this.#openGroupOf(path, place);
    const group = open ?? this.#group;
    const boundary = open === undefined ? this.#boundaries.add(path, blockCount) : NO_BOUNDARY;
    if (open === undefined && this.#isCutBefore(draw, blockCount, boundary)) this.#endGroup(group);
    const rest: Rest = {
      place,
      blockCount,
      block: 0,
      groupDrawn: draw.group,
      tailDrawn: draw.tail,
      depth: boundary.depth,
      parentBlocks: boundary.parentBlocks,
      beginsDirectory: boundary.beginsDirectory,
    };
    if (group.chunk.items.length === 0) group.drawn = rest.tailDrawn;
    if (group.chunk.fill + blockCount > CHUNK_BLOCKS) this.#endBeforeDirectory(group, rest);
    if (group.chunk.fill + blockCount > CHUNK_BLOCKS) this.#lookBack(group, rest);
    const room = CHUNK_BLOCKS - group.chunk.fill;
    if (blockCount <= room) return [add(group.chunk, rest)];
    // No file begins near the chunk's end: this one fills it and goes on in the next.
    const head = add(group.chunk, { ...rest, blockCount: room });
    const { items, bytes } = group.chunk;
    this.#complete.push({ chunkIndex: this.#giveIndex(items), bytes });
    group.chunk = this.#newGroupChunk();
    return [head, add(group.chunk, { ...rest, blockCount: blockCount - room })];
  }

  /** The group that is open until the layer ends which takes the file, if one does. */
  #openGroupOf(path: ByteString, { blockCount }: FilePlace): Group | undefined {
    if (isStatePath(path)) return (this.#stateGroup ??= this.#newGroup());
    if (blockCount > SMALL_FILE_BLOCKS || this.#blockCount >= FIRST_BLOCKS) return undefined;
    return (this.#smallGroup ??= this.#newGroup());
  }

  /** Whether a file begins a usual group whatever its chunk has room for. */
  #isCutBefore(draw: Draw, blockCount: number, boundary: Boundary): boolean {
    if (isCutBefore(draw.group, blockCount, BLOCKS_PER_GROUP_CUT)) {
      this.#lateEnds = 0;
      return true;
    }
    return boundary.endedBlocks >= CHUNK_BLOCKS && boundary.parentBlocks >= PARENT_BLOCKS_MIN;
  }

  /**
   * Where a directory goes on beyond the chunk that it began in, the group ends before it: what is in the directory then takes
   * no more chunks than it must, and what is before it is not moved by it.
   */
  #endBeforeDirectory(group: Group, next: Rest): void {
    const { items, fill } = group.chunk;
    // Of those after the first the last of the least depth, the file at hand among them: where the topmost one began.
    let at = items.length;
    for (let i = at - 1; i > 0; i--) if ((items[i]?.depth ?? 0) < (items[at] ?? next).depth) at = i;
    const { beginsDirectory, parentBlocks, tailDrawn } = items[at] ?? next;
    const block = items[at]?.block ?? fill;
    if (!beginsDirectory || parentBlocks < PARENT_BLOCKS_MIN || isNearEnd(block)) return;
    if (block > CHUNK_BLOCKS / 2 && this.#lateEnds++ >= LATE_ENDS_MAX) return;
    this.#endGroup(group, at);
    group.drawn = tailDrawn;
  }

  /** Ends a full chunk before the one that comes first by `compareEnds` of those that begin in its last blocks, the next one included. */
  #lookBack(group: Group, next: Rest): void {
    const { items, bytes, fill } = group.chunk;
    let best = isNearEnd(fill) ? { at: items.length, block: fill, rest: next } : undefined;
    for (let at = items.length - 1; at >= 0; at--) {
      const item = items[at];
      if (item === undefined || !isNearEnd(item.block)) break;
      if (best === undefined || compareEnds(item, best.rest) <= 0)
        best = { at, block: item.block, rest: item };
    }
    if (best === undefined) return;
    const { at, block } = best;
    const begun = this.#newGroupChunk();
    const moved = bytes.subarray(block * SEGMENT_BLOCK_BYTES, fill * SEGMENT_BLOCK_BYTES);
    begun.bytes.set(moved);
    moved.fill(0);
    begun.items = movedDown(items.slice(at), block);
    begun.fill = fill - block;
    group.chunk = begun;
    this.#sink.add(this.#giveIndex(items.slice(0, at)), bytes);
  }

  /** Gives a group's chunk its index, and its files their places. */
  #giveIndex(items: readonly Rest[]): number {
    const chunkIndex = this.#chunkCount++;
    for (const { place, block, blockCount } of items) {
      place.put(chunkIndex * CHUNK_BLOCKS + block, blockCount);
    }
    return chunkIndex;
  }

  /** Ends the group before the file with that index in its chunk, or with its last one; the others begin the next group. */
  #endGroup(group: Group, itemCount: number = group.chunk.items.length): void {
    const { items, bytes, fill } = group.chunk;
    const ended = items.slice(0, itemCount);
    const block = items[itemCount]?.block ?? fill;
    if (block === CHUNK_BLOCKS) {
      group.chunk = this.#newGroupChunk();
      this.#sink.add(this.#giveIndex(ended), bytes);
      return;
    }
    if (block === 0) return;
    this.#putTails(group.drawn, { items: ended, bytes, fill: block });
    bytes.copyWithin(0, block * SEGMENT_BLOCK_BYTES, fill * SEGMENT_BLOCK_BYTES);
    bytes.fill(0, (fill - block) * SEGMENT_BLOCK_BYTES, fill * SEGMENT_BLOCK_BYTES);
    group.chunk = { bytes, fill: fill - block, items: movedDown(items.slice(itemCount), block) };
  }

  /** Puts what a group has left behind the tails before it, split where their chunk ends if there is much room. */
  #putTails(drawn: number, { items, bytes, fill }: GroupChunk): void {
    const blockCount = alignUp(fill, TAIL_UNIT_BLOCKS);
    const room = CHUNK_BLOCKS - (this.#tail?.fill ?? 0);
    const isTooShort = blockCount > room && room <= TAIL_ROOM_BLOCKS;
    if (isTooShort || isCutBefore(drawn, blockCount, BLOCKS_PER_TAIL_CUT)) this.#endTailChunk();
    for (const item of items) this.#putTail(item, bytes);
    if (this.#tail !== undefined)
      this.#tail.fill = Math.min(this.#tail.fill + blockCount - fill, CHUNK_BLOCKS);
  }

  #putTail(item: Rest, from: Uint8Array): void {
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

function isNearEnd(block: number): boolean {
  return block >= CHUNK_BLOCKS - LOOK_BACK_BLOCKS;
}

/** Below 0 where a chunk should rather end before the left one: of topmost directories first, then as drawn. */
function compareEnds(left: Rest, right: Rest): number {
  return left.depth - right.depth || left.groupDrawn - right.groupDrawn;
}

/** Takes files of a chunk to another chunk, whose first block was the given one of theirs. */
function movedDown(items: Rest[], block: number): Rest[] {
  for (const item of items) item.block -= block;
  return items;
}

function add(chunk: GroupChunk, rest: Rest): Target {
  const { blockCount } = rest;
  const block = chunk.fill;
  assert(block + blockCount <= CHUNK_BLOCKS, "the blocks fit the chunk");
  rest.block = block;
  chunk.items.push(rest);
  chunk.fill += blockCount;
  return {
    bytes: chunk.bytes,
    offsetBytes: block * SEGMENT_BLOCK_BYTES,
    sizeBytes: blockCount * SEGMENT_BLOCK_BYTES,
  };
}
