/**
 * What one layer becomes on its own: its file bodies in the order of the archive, cut into chunks, and its
 * entries with the place of each body. A pure function of the layer's tar: it knows nothing of other layers,
 * so a layer that two images share gives both the same chunks (docs/format/disk-image.md, "Segments").
 */
import { assert, LambdaImgError } from "../base/error.ts";
import { partOf, showByteString } from "../base/bytes.ts";
import { ENTRIES_BYTES_MAX, ENTRY_BYTES, FILE_BYTES_MAX } from "../base/limit.ts";
import { divCeil } from "../base/units.ts";
import type { SparseRegion, TarEntry, TarSink } from "../tar/entry.ts";
import type { FileBody, LayerEntry } from "../tree/layer-entry.ts";
import { SEGMENT_BLOCK_BYTES, type FileBlocks, type FilePlace } from "./file-place.ts";
import { areEqualXattrs } from "./_entry-codec.ts";
import { EntryPacker, type PackedEntries } from "./packed-entries.ts";
import { SegmentChunks, type SegmentChunkSink } from "./segment-chunks.ts";

/** A segment whose chunks have all gone to the sink. */
export interface Segment {
  readonly chunkCount: number;
  readonly entries: PackedEntries;
}

/**
 * How much the entries of an image may take in memory: a header with a megabyte of path or attributes compresses to
 * almost nothing. One budget serves all layers of an image.
 */
export class EntryBudget {
  #leftBytes: number;

  constructor(bytesMax: number = ENTRIES_BYTES_MAX) {
    this.#leftBytes = bytesMax;
  }

  /** `regionCount`: regions of a sparse file. @throws TREE_TOO_LARGE when it is used up */
  take(entry: Pick<TarEntry, "path" | "linkTarget" | "xattrs">, regionCount: number): void {
    this.#leftBytes -= ENTRY_BYTES + entry.path.length + entry.linkTarget.length;
    for (const [name, value] of entry.xattrs ?? []) this.#leftBytes -= name.length + value.length;
    this.#leftBytes -= regionCount * SPARSE_REGION_BYTES;
    if (this.#leftBytes >= 0) return;
    throw new LambdaImgError(
      "TREE_TOO_LARGE",
      `${showByteString(entry.path)}: too many files, or too large names and attributes: expected at most ${ENTRIES_BYTES_MAX} bytes of entries in an image`,
    );
  }
}

/** A region and the run that comes of it, as objects in memory. */
const SPARSE_REGION_BYTES = 128;

/** Receives a layer's tar from a TarParser and gives chunks and entries. */
export class SegmentBuilder implements TarSink {
  readonly #chunks: SegmentChunks;
  readonly #packer = new EntryPacker();
  /** Entries in their order from the first on whose body has not all of its places: mostly those of one group, some few. */
  readonly #pending: PendingEntry[] = [];
  #body: BodyCursor | undefined;
  readonly #budget: EntryBudget;
  readonly #onEntry: ((entry: LayerEntry) => void) | undefined;
  #xattrsBefore: LayerEntry["xattrs"];

  /** `onEntry` is given each entry in order, before `finish` ends; its body may get its places later, `finish` is the latest. */
  constructor(
    sink: SegmentChunkSink,
    budget: EntryBudget = new EntryBudget(),
    onEntry?: (entry: LayerEntry) => void,
  ) {
    this.#chunks = new SegmentChunks(sink);
    this.#budget = budget;
    this.#onEntry = onEntry;
  }

  entry(entry: TarEntry): void {
    this.#budget.take(entry, entry.sparseRegions?.length ?? 0);
    const isFile = entry.type === "file";
    if (isFile && entry.sizeBytes > FILE_BYTES_MAX) throw fileTooLarge(entry);
    const regions = isFile ? regionsOf(entry) : [];
    const blocks = fileBlocks(regions);
    const place = isFile ? this.#chunks.begin(entry.path, entry.sizeBytes, blocks) : undefined;
    const awaited = place?.isComplete === false ? place : undefined;
    // Neighbours often have equal attributes, and a million inodes may keep them.
    if (!areEqualXattrs(entry.xattrs, this.#xattrsBefore)) this.#xattrsBefore = entry.xattrs;
    this.#pending.push({ entry: layerEntry(entry, place?.body, this.#xattrsBefore), awaited });
    this.#packPlaced();
    this.#body = isFile ? new BodyCursor(regions, blocks) : undefined;
  }

  body(piece: Uint8Array): void {
    for (let done = 0; done < piece.length;) {
      assert(this.#body !== undefined, "bytes came for an entry that has none");
      const { offsetBytes, sizeBytes } = this.#body.take(piece.length - done);
      this.#chunks.write(offsetBytes, partOf(piece, done, sizeBytes));
      done += sizeBytes;
    }
  }

  entryEnd(): void {
    if (this.#body !== undefined) this.#chunks.end();
    this.#body = undefined;
  }

  /** Ends the segment: its last chunk is filled up with zeros. Call it once, after the parser's `finish`. */
  finish(): Segment {
    const chunkCount = this.#chunks.finish();
    this.#packPlaced();
    assert(this.#pending.length === 0, "after the last chunk every body has its places");
    return { chunkCount, entries: this.#packer.finish() };
  }

  /** Packs the entries before the first that still waits for places; that one, too, where too many are behind it. */
  #packPlaced(): void {
    if (this.#pending.length > PENDING_ENTRIES_MAX) {
      const first = this.#pending.shift();
      if (first !== undefined) {
        this.#packer.addUnplaced(first.entry);
        this.#onEntry?.(first.entry);
      }
    }
    const waiting = this.#pending.findIndex(({ awaited }) => awaited?.isComplete === false);
    const count = waiting < 0 ? this.#pending.length : waiting;
    if (count === 0) return;
    for (const { entry } of this.#pending.splice(0, count)) {
      this.#packer.add(entry);
      this.#onEntry?.(entry);
    }
  }
}

/**
 * Some files can wait until their layer ends, and entries that are not packed take six times the memory. No more files wait than three
 * chunks have blocks, so at most three entries in eight are packed without their bodies.
 */
const PENDING_ENTRIES_MAX = 1024;

/** An entry whose body may not all be placed yet. */
interface PendingEntry {
  readonly entry: LayerEntry;
  /** The place of its body, unless it was complete from the start. */
  readonly awaited: FilePlace | undefined;
}

/** Field by field: a million spreads of an entry take a second more. */
function layerEntry(entry: TarEntry, body: FileBody | undefined, xattrs: LayerEntry["xattrs"]): LayerEntry {
  return {
    path: entry.path,
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    body,
    linkTarget: entry.linkTarget,
    deviceMajor: entry.deviceMajor,
    deviceMinor: entry.deviceMinor,
    xattrs,
  };
}

/** Follows a body's bytes through its regions to their places among the file's blocks, holes left out. */
class BodyCursor {
  readonly #regions: readonly SparseRegion[];
  readonly #blocks: FileBlocks;
  #regionIndex = 0;
  #withinRegion = 0;
  #runIndex = 0;
  /** Blocks of the runs before that one. */
  #blocksBefore = 0;

  constructor(regions: readonly SparseRegion[], blocks: FileBlocks) {
    this.#regions = regions;
    this.#blocks = blocks;
  }

  /** Where the next bytes go, and how many of at most `sizeBytes` go there in one piece. */
  take(sizeBytes: number): { offsetBytes: number; sizeBytes: number } {
    const region = this.#regions[this.#regionIndex];
    assert(region !== undefined, "more bytes came than the entry's regions hold");
    const fileOffset = region.offsetBytes + this.#withinRegion;
    const taken = Math.min(sizeBytes, region.sizeBytes - this.#withinRegion);
    const fileBlock = Math.floor(fileOffset / SEGMENT_BLOCK_BYTES);
    let run = this.#blocks[this.#runIndex];
    while (run !== undefined && fileBlock >= run.fileBlock + run.blockCount) {
      this.#blocksBefore += run.blockCount;
      run = this.#blocks[++this.#runIndex];
    }
    assert(run !== undefined, "a region lies outside the file's runs");
    this.#withinRegion += taken;
    if (this.#withinRegion === region.sizeBytes) {
      this.#regionIndex++;
      this.#withinRegion = 0;
    }
    const offsetBytes = fileOffset + (this.#blocksBefore - run.fileBlock) * SEGMENT_BLOCK_BYTES;
    return { offsetBytes, sizeBytes: taken };
  }
}

function regionsOf(entry: TarEntry): readonly SparseRegion[] {
  if (entry.sparseRegions !== undefined) return entry.sparseRegions;
  return entry.sizeBytes === 0 ? [] : [{ offsetBytes: 0, sizeBytes: entry.sizeBytes }];
}

/** The file blocks that the regions touch, as runs; neighbouring regions may share a block. */
function fileBlocks(regions: readonly SparseRegion[]): FileBlocks {
  const runs: { fileBlock: number; blockCount: number }[] = [];
  for (const { offsetBytes, sizeBytes } of regions) {
    const first = Math.floor(offsetBytes / SEGMENT_BLOCK_BYTES);
    const end = divCeil(offsetBytes + sizeBytes, SEGMENT_BLOCK_BYTES);
    const last = runs.at(-1);
    if (last !== undefined && first <= last.fileBlock + last.blockCount) {
      last.blockCount = end - last.fileBlock;
    } else {
      runs.push({ fileBlock: first, blockCount: end - first });
    }
  }
  return runs;
}

function fileTooLarge(entry: TarEntry): LambdaImgError {
  return new LambdaImgError(
    "FILE_TOO_LARGE",
    `${showByteString(entry.path)}: file too large: expected at most ${FILE_BYTES_MAX} bytes, found ${entry.sizeBytes}`,
    { details: { limitBytes: FILE_BYTES_MAX, foundBytes: entry.sizeBytes } },
  );
}
