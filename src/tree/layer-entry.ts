/**
 * What a layer says, entry by entry, without the bytes of its files: the input of flattening. Made by
 * segment/, which has put the bytes into chunks and knows where.
 */
import type { ByteString } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";

/** A run of a file's blocks that lie one after another in the segment. Blocks are 4096 bytes. */
export interface BlockRun {
  /** The first block's ordinal in the file. */
  readonly fileBlock: number;
  /** The first block's ordinal in the layer's segment. */
  readonly segmentBlock: number;
  readonly blockCount: number;
}

/** Where a file's bytes are. Blocks of the file that no run covers are holes. */
export interface FileBody {
  readonly sizeBytes: number;
  /** Ascending in both ordinals. */
  readonly runs: readonly BlockRun[];
}

/** One entry of a layer; `path` as in the tar. */
export interface LayerEntry {
  readonly path: ByteString;
  readonly type: "file" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  /** Files only. */
  readonly body: FileBody | undefined;
  readonly linkTarget: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array> | undefined;
}
