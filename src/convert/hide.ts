/**
 * Zeroes what upper layers hide in a layer's chunks. The chunks that hidden files touch are patched; no other moves
 * (docs/format/disk-image.md, "Hidden files").
 */
import { LambdaImgError } from "../base/error.ts";
import { forEachLimited } from "../base/pool.ts";
import { CHUNK_BYTES, chunkNameOf } from "../chunk/chunk.ts";
import { openChunk, type ChunkKey } from "../crypto/chunk-seal.ts";
import { SEGMENT_BLOCK_BYTES } from "../segment/file-place.ts";
import type { ChunkReader } from "../store/store.ts";
import type { LayerEntry } from "../tree/layer-entry.ts";
import type { Tree } from "../tree/tree.ts";
import type { ChunkIntake } from "./chunk-intake.ts";
import type { ChunkLedger } from "./chunk-sealer.ts";

const PATCHES_AT_ONCE = 4;

/** Bytes within a chunk, end excluded. */
interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Which bodies of a layer's segment are visible, by the block that each begins at: no two share one. */
export interface VisibleBodies {
  has(segmentBlock: number): boolean;
}

/** A byte for each block of a segment: a set of a million numbers takes many times as much. */
class BlockMarks implements VisibleBodies {
  #marks = new Uint8Array(0);

  add(block: number): void {
    if (block >= this.#marks.length) {
      const larger = new Uint8Array(Math.max(block + 1, 2 * this.#marks.length));
      larger.set(this.#marks);
      this.#marks = larger;
    }
    this.#marks[block] = 1;
  }

  has(block: number): boolean {
    return this.#marks[block] === 1;
  }
}

/** The bodies that the finished tree still shows, by layer index. */
export function visibleBodies(tree: Tree, layerCount: number): readonly VisibleBodies[] {
  const visible = Array.from({ length: layerCount }, () => new BlockMarks());
  const todo = [tree.rootDirectory];
  for (let directory = todo.pop(); directory !== undefined; directory = todo.pop()) {
    for (const child of directory.children?.values() ?? []) {
      if (child.type === "dir") todo.push(child);
      const [first] = child.body?.runs ?? [];
      if (first !== undefined) visible[child.layerIndex]?.add(first.segmentBlock);
    }
  }
  return visible;
}

/** The parts of a segment's chunks that hold bodies which are not visible, by chunk ordinal. */
export function hiddenRanges(
  entries: Iterable<LayerEntry>,
  visible: VisibleBodies,
): ReadonlyMap<number, readonly ByteRange[]> {
  const ranges = new Map<number, ByteRange[]>();
  for (const { body } of entries) {
    const runs = body?.runs ?? [];
    const [first] = runs;
    if (first === undefined || visible.has(first.segmentBlock)) continue;
    for (const { segmentBlock, blockCount } of runs) {
      const end = (segmentBlock + blockCount) * SEGMENT_BLOCK_BYTES;
      for (let at = segmentBlock * SEGMENT_BLOCK_BYTES; at < end;) {
        const ordinal = Math.floor(at / CHUNK_BYTES);
        const within = at - ordinal * CHUNK_BYTES;
        const length = Math.min(end - at, CHUNK_BYTES - within);
        const known = ranges.get(ordinal) ?? [];
        known.push({ start: within, end: within + length });
        ranges.set(ordinal, known);
        at += length;
      }
    }
  }
  return ranges;
}

/**
 * Patches the chunks of `ledger`, which then says what the disk image has.
 * @throws CHUNK_CORRUPT where a chunk that is read back is not what was stored; what the store throws
 */
export async function hideRanges(
  ranges: ReadonlyMap<number, readonly ByteRange[]>,
  ledger: ChunkLedger,
  use: { readonly store: ChunkReader; readonly intake: ChunkIntake },
): Promise<void> {
  await forEachLimited(ranges, PATCHES_AT_ONCE, async ([ordinal, hidden]) => {
    const chunk = ledger.get(ordinal);
    if (chunk === undefined) return; // Zero already.
    if (hidden.some(({ start, end }) => start === 0 && end === CHUNK_BYTES)) {
      ledger.clear(ordinal);
      return;
    }
    const sealed = await use.store.getChunk(chunk.name);
    const found = chunkNameOf(sealed);
    if (found !== chunk.name) {
      throw new LambdaImgError(
        "CHUNK_CORRUPT",
        `chunk ${chunk.name}: digest mismatch: expected ${chunk.name}, found ${found}`,
        { details: { expected: chunk.name, found } },
      );
    }
    // Keys come out of the ledger as bytes; that this one is the chunk's is what set() was told.
    const plain = openChunk(sealed, chunk.key as ChunkKey);
    for (const { start, end } of hidden) plain.fill(0, start, end);
    await use.intake.relieve();
    use.intake.add(ledger, ordinal, plain);
  });
}
