/** Inodes for unit tests. */
import { asByteString } from "../../src/base/bytes.ts";
import type { Inode } from "../../src/tree/tree.ts";

/** An inode with these fields, and those of an empty file of layer 0 else. */
export function makeInode(fields: Partial<Inode>): Inode {
  return {
    type: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    xattrs: undefined,
    nameCount: 1,
    layerIndex: 0,
    slot: 0,
    body: undefined,
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    children: fields.type === "dir" ? new Map() : undefined,
    isImplied: false,
    ...fields,
  };
}
