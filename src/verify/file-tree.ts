/** A tree of files as a list of paths: the form in which two ways to the same tree are compared. */
import { toHex, type ByteString } from "../base/bytes.ts";
import { sha256Digest } from "../base/digest.ts";
import type { Timestamp } from "../base/timestamp.ts";

/** What a file is. */
export type FileType = "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "socket";

/** All that is compared of one file. Paths that are hard links to one file share one node. */
export interface FileNode {
  readonly type: FileType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  /** Of files; 0 for all else. */
  readonly sizeBytes: number;
  /** Of files: content-digest.ts; empty for all else. */
  readonly content: string;
  /** Of symlinks; empty for all else. */
  readonly linkTarget: ByteString;
  /** Zero for all but devices. */
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Values as `showXattrValue` gives them, by name. */
  readonly xattrs: ReadonlyMap<ByteString, string>;
  readonly linkCount: number;
}

/** By full path; the root directory is `/`, every other path starts with a slash and ends without one. */
export type FileTree = ReadonlyMap<ByteString, FileNode>;

const SHOWN_VALUE_BYTES_MAX = 64;

/** An attribute's value: short ones in hexadecimal, long ones as size and digest, so that memory is bounded. */
export function showXattrValue(value: Uint8Array): string {
  if (value.length <= SHOWN_VALUE_BYTES_MAX) return `0x${toHex(value)}`;
  return `${value.length} bytes, ${sha256Digest(value)}`;
}
