/** The flattened file system: inodes and names, as all layers together give it. */
import type { ByteString } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";
import type { FileBody } from "./layer-entry.ts";

/** A file's metadata and content; a directory's names. One object an inode: hard links share it. */
export interface Inode {
  readonly type: "file" | "dir" | "symlink" | "char" | "block" | "fifo";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  mtime: Timestamp;
  /** `undefined` where there are none. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array> | undefined;
  /** Names that refer to this inode; of a directory always 1. */
  readonly nameCount: number;
  /**
   * The layer whose entry made this inode; of a directory the topmost that has an entry for it, or, where it is implied, the
   * one that made it necessary.
   */
  readonly layerIndex: number;
  /**
   * Its place among the inodes of its class (directories; all others) that are of this layer: see slots.ts. -1 for the
   * root directory.
   */
  readonly slot: number;
  /** Files only. */
  readonly body: FileBody | undefined;
  /** Symlinks only; else empty. */
  readonly linkTarget: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Directories only. Order of insertion; users sort. */
  readonly children: Map<ByteString, Inode> | undefined;
  /** True for a directory that no layer has an entry for. */
  readonly isImplied: boolean;
}

/** How many slots of each class a layer takes. */
export interface LayerSlots {
  readonly files: number;
  readonly directories: number;
}

/** All of it. */
export interface Tree {
  readonly rootDirectory: Inode;
  /** By layer index. */
  readonly slots: readonly LayerSlots[];
}
