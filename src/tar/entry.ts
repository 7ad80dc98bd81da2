/** What one entry of a tar says, after all of its extended headers are applied. */
import type { ByteString } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";

export type { Timestamp } from "../base/timestamp.ts";

/** The kinds of entries that a layer can hold. Contiguous files are files. */
export type TarEntryType = "file" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo";

/** A run of bytes of a sparse file that the archive holds; what is between runs reads as zeros. */
export interface SparseRegion {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** One entry. Paths are as in the archive: not cleaned, not checked for `..`. */
export interface TarEntry {
  readonly path: ByteString;
  readonly type: TarEntryType;
  /** The permission bits, 0 to 0o7777; type bits in the header's mode field are dropped. */
  readonly mode: number;
  /** 0 to 2^32 - 1. */
  readonly uid: number;
  /** 0 to 2^32 - 1. */
  readonly gid: number;
  readonly mtime: Timestamp;
  /** The file's size as the user sees it, holes included; 0 for what is no file. */
  readonly sizeBytes: number;
  /** Target of a symlink or hardlink; empty for others. */
  readonly linkTarget: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Values of `SCHILY.xattr.` (and `LIBARCHIVE.xattr.`) records by name, in order of first appearance. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array> | undefined;
  /**
   * For a sparse file: the regions that the archive holds, ascending, not empty, not overlapping, all
   * below sizeBytes; `undefined` for an ordinary file, whose whole body is one region.
   */
  readonly sparseRegions: readonly SparseRegion[] | undefined;
}

/**
 * Receives what a tar holds, in the archive's order. For each entry `entry`, then `body` any number of
 * times (files with bytes in the archive only), then `entryEnd`. The pieces given to `body` are views
 * that are valid during the call only; their sum is exactly the size of the entry's regions.
 */
export interface TarSink {
  entry(entry: TarEntry): void;
  body(piece: Uint8Array): void;
  entryEnd(): void;
}
