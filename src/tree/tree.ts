/** The flattened file system: inodes and names, as all layers together give it. */
import type { ByteString } from "../base/bytes.ts";
import type { Timestamp } from "../tar/entry.ts";
import type { FileBody } from "./layer-entry.ts";

/** A file's metadata and content; a directory's names. One object an inode: hard links share it. */
export interface Inode {
  type: "file" | "dir" | "symlink" | "char" | "block" | "fifo";
  mode: number;
  uid: number;
  gid: number;
  mtime: Timestamp;
  /** `undefined` where there are none. Names in order of byte value. */
  xattrs: ReadonlyMap<ByteString, Uint8Array> | undefined;
  /** Names that refer to this inode; of a directory always 1. */
  nameCount: number;
  /** The layer whose entry made this inode (for an implied directory: that made it necessary). */
  readonly layerIndex: number;
  /** Files only. */
  readonly body: FileBody | undefined;
  /** Symlinks only; else empty. */
  readonly linkTarget: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Directories only. Order of insertion; users sort. */
  readonly children: Map<ByteString, Inode> | undefined;
  /** True for a directory that no layer has an entry for. */
  isImplied: boolean;
}

/** All of it. */
export interface Tree {
  readonly rootDirectory: Inode;
}
