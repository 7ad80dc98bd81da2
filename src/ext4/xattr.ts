/**
 * Extended attributes as ext4 keeps them (kernel documentation, "Extended Attributes"): in the inode where all of
 * them fit, else in one block that inodes with equal attributes share, and what is too large for that as the
 * content of an inode of its own (feature ea_inode).
 */
import {
  asByteString,
  compareByteStrings,
  fromByteString,
  showByteString,
  toByteString,
  viewOf,
} from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from "../base/limit.ts";
import { alignUp } from "../base/units.ts";
import type { ByteString } from "../base/bytes.ts";
import type { Inode } from "../tree/tree.ts";
import {
  BLOCK_BYTES,
  XATTR_INDEX_POSIX_ACL_ACCESS,
  XATTR_INDEX_POSIX_ACL_DEFAULT,
  XATTR_INDEX_SECURITY,
  XATTR_INDEX_TRUSTED,
  XATTR_INDEX_USER,
  XATTR_MAGIC,
} from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { INODE_XATTR_BYTES } from "./inode.ts";
import { aclToDisk } from "./posix-acl.ts";
import { CHECKSUM_SEED } from "./profile.ts";

/** One attribute in its form on the disk. */
export interface DiskXattr {
  readonly nameIndex: number;
  /** The name without the prefix that `nameIndex` stands for. */
  readonly name: ByteString;
  readonly value: Uint8Array;
  /** True where the value becomes the content of an inode. */
  readonly isInInode: boolean;
}

/** Where an inode's attributes go: one of the two, or neither. */
export interface XattrPlacement {
  /** Sorted as the kernel sorts them. Empty, or all the attributes of the inode. */
  readonly inInode: readonly DiskXattr[];
  readonly inBlock: readonly DiskXattr[];
}

/** EXT4_XATTR_REFCOUNT_MAX: inodes that may share one block. */
export const XATTR_REFERENCES_MAX = 1024;

const ENTRY_BYTES = 16;
const BLOCK_HEADER_BYTES = 32;
const INODE_HEADER_BYTES = 4;
/** Four zero bytes end the list of entries. */
const END_BYTES = 4;

const PREFIXES: readonly (readonly [string, number])[] = [
  ["user.", XATTR_INDEX_USER],
  ["trusted.", XATTR_INDEX_TRUSTED],
  ["security.", XATTR_INDEX_SECURITY],
];
const ACLS: ReadonlyMap<string, number> = new Map([
  ["system.posix_acl_access", XATTR_INDEX_POSIX_ACL_ACCESS],
  ["system.posix_acl_default", XATTR_INDEX_POSIX_ACL_DEFAULT],
]);

/**
 * Decides where the attributes of an inode go.
 * @throws XATTR_INVALID, XATTR_UNSUPPORTED, XATTR_TOO_LARGE, each naming path and attribute
 */
export function placeXattrs(inode: Inode, path: () => string): XattrPlacement {
  const sorted = [...(inode.xattrs ?? [])]
    .map(([name, value]) => toDisk(inode, name, value, path))
    .sort(compareXattrs);
  if (bytesOf(sorted) + INODE_HEADER_BYTES <= INODE_XATTR_BYTES) return { inInode: sorted, inBlock: [] };
  // The largest values leave first, so that the fewest inodes are made of them.
  const placed = [...sorted];
  while (bytesOf(placed) + BLOCK_HEADER_BYTES > BLOCK_BYTES) {
    let largest = -1;
    placed.forEach((xattr, i) => {
      if (!xattr.isInInode && xattr.value.length > (placed[largest]?.value.length ?? 0)) largest = i;
    });
    const xattr = placed[largest];
    if (xattr === undefined) {
      throw new LambdaImgError(
        "XATTR_TOO_LARGE",
        `${path()}: too many extended attributes: expected names of at most ${BLOCK_BYTES - BLOCK_HEADER_BYTES} bytes in all, found ${bytesOf(placed)} for ${placed.length} attributes`,
      );
    }
    placed[largest] = { ...xattr, isInInode: true };
  }
  return { inInode: [], inBlock: placed };
}

/** A key that is equal for equal attributes. */
export function xattrsKey(xattrs: readonly DiskXattr[]): string {
  return xattrs
    .map((x) => `${x.nameIndex}:${x.name.length}:${x.name}${x.value.length}:${toByteString(x.value)}`)
    .join("");
}

/** Gives the inode that holds a value, for values that have one. */
export type ValueInodeNumber = (value: Uint8Array) => number;

/** The attributes in the room within an inode: at most INODE_XATTR_BYTES; empty where there are none. */
export function encodeInodeXattrs(xattrs: readonly DiskXattr[]): Uint8Array {
  if (xattrs.length === 0) return new Uint8Array(0);
  const room = new Uint8Array(INODE_XATTR_BYTES);
  viewOf(room).setUint32(0, XATTR_MAGIC, true);
  // Offsets of values count from the first entry.
  encodeEntries(room.subarray(INODE_HEADER_BYTES), xattrs, { entriesOffset: 0, valueInodeNumber: () => 0 });
  return room;
}

/** A block of attributes; its checksum includes the number of the block. */
export function encodeXattrBlock(
  xattrs: readonly DiskXattr[],
  place: {
    readonly blockNumber: number;
    readonly referenceCount: number;
    readonly valueInodeNumber: ValueInodeNumber;
  },
): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const view = viewOf(block);
  view.setUint32(0, XATTR_MAGIC, true);
  view.setUint32(4, place.referenceCount, true);
  view.setUint32(8, 1, true); // h_blocks
  const hashes = encodeEntries(block, xattrs, {
    entriesOffset: BLOCK_HEADER_BYTES,
    valueInodeNumber: place.valueInodeNumber,
  });
  view.setUint32(0xc, hashes.reduce((hash, entryHash) => rotate(hash, 16) ^ entryHash, 0) >>> 0, true); // ext4_xattr_rehash
  const number = new Uint8Array(8);
  viewOf(number).setUint32(0, place.blockNumber, true);
  view.setUint32(0x10, crc32c(crc32c(CHECKSUM_SEED, number), block), true);
  return block;
}

/** ext4_xattr_inode_hash: what an inode that holds a value says of it. */
export function hashValue(value: Uint8Array): number {
  return crc32c(CHECKSUM_SEED, value);
}

function encodeEntries(
  target: Uint8Array,
  xattrs: readonly DiskXattr[],
  place: { readonly entriesOffset: number; readonly valueInodeNumber: ValueInodeNumber },
): number[] {
  const view = viewOf(target);
  let at = place.entriesOffset;
  let valuesStart = target.length;
  return xattrs.map((xattr) => {
    const { name, value, isInInode } = xattr;
    const hash = isInInode ? hashEntry(name, hashWord(value)) : hashEntry(name, value);
    view.setUint8(at, name.length);
    view.setUint8(at + 1, xattr.nameIndex);
    if (isInInode) {
      view.setUint32(at + 4, place.valueInodeNumber(value), true);
    } else if (value.length > 0) {
      // Values grow down from the end; the padding after each is zero.
      valuesStart -= alignUp(value.length, 4);
      view.setUint16(at + 2, valuesStart, true);
      target.set(value, valuesStart);
    }
    view.setUint32(at + 8, value.length, true);
    view.setUint32(at + 12, hash, true);
    target.set(fromByteString(name), at + ENTRY_BYTES);
    at += ENTRY_BYTES + alignUp(name.length, 4);
    return hash;
  });
}

function hashWord(value: Uint8Array): Uint8Array {
  const word = new Uint8Array(4);
  viewOf(word).setUint32(0, hashValue(value), true);
  return word;
}

/** ext4_xattr_hash_entry: the bytes of the name, then the value as little-endian words, zeros after its end. */
function hashEntry(name: ByteString, value: Uint8Array): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = rotate(hash, 5) ^ name.charCodeAt(i);
  for (let at = 0; at < value.length; at += 4) {
    const word =
      (value[at] ?? 0) |
      ((value[at + 1] ?? 0) << 8) |
      ((value[at + 2] ?? 0) << 16) |
      ((value[at + 3] ?? 0) << 24);
    hash = rotate(hash, 16) ^ word;
  }
  return hash >>> 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) ^ (value >>> (32 - bits));
}

/** Bytes of the entries, their end and the values that lie with them. */
function bytesOf(xattrs: readonly DiskXattr[]): number {
  return xattrs.reduce(
    (sum, { name, value, isInInode }) =>
      sum + ENTRY_BYTES + alignUp(name.length, 4) + (isInInode ? 0 : alignUp(value.length, 4)),
    xattrs.length === 0 ? 0 : END_BYTES,
  );
}

/** ext4_xattr_cmp: blocks are kept in order of index, length of name, name. */
function compareXattrs(a: DiskXattr, b: DiskXattr): number {
  return a.nameIndex - b.nameIndex || a.name.length - b.name.length || compareByteStrings(a.name, b.name);
}

function toDisk(inode: Inode, fullName: ByteString, value: Uint8Array, path: () => string): DiskXattr {
  const shown = showByteString(fullName);
  const fail = (
    code: "XATTR_INVALID" | "XATTR_UNSUPPORTED" | "XATTR_TOO_LARGE",
    message: string,
  ): LambdaImgError => new LambdaImgError(code, `${path()}: xattr ${shown}: ${message}`);
  if (value.length > XATTR_VALUE_BYTES_MAX) {
    throw fail(
      "XATTR_TOO_LARGE",
      `expected a value of at most ${XATTR_VALUE_BYTES_MAX} bytes, found ${value.length}`,
    );
  }
  const aclIndex = ACLS.get(fullName);
  if (aclIndex !== undefined) {
    if (inode.type === "symlink") throw fail("XATTR_INVALID", "a symlink cannot have an ACL");
    if (aclIndex === XATTR_INDEX_POSIX_ACL_DEFAULT && inode.type !== "dir") {
      throw fail("XATTR_INVALID", `only a directory can have a default ACL, and this is a ${inode.type}`);
    }
    return { nameIndex: aclIndex, name: asByteString(""), value: diskAcl(value, fail), isInInode: false };
  }
  const prefix = PREFIXES.find(([text]) => fullName.startsWith(text));
  if (prefix === undefined) {
    throw fail(
      "XATTR_UNSUPPORTED",
      "expected a name that begins with user., trusted., security. or system.posix_acl_",
    );
  }
  const name = asByteString(fullName.slice(prefix[0].length));
  if (name === "" || fullName.length > NAME_BYTES_MAX || name.includes("\0")) {
    throw fail("XATTR_INVALID", `expected a name of 1 to ${NAME_BYTES_MAX} bytes without NUL`);
  }
  // xattr(7): "user" attributes exist on files and directories only.
  if (prefix[1] === XATTR_INDEX_USER && inode.type !== "file" && inode.type !== "dir") {
    throw fail("XATTR_INVALID", `user attributes are for files and directories, and this is a ${inode.type}`);
  }
  return { nameIndex: prefix[1], name, value, isInInode: false };
}

function diskAcl(
  value: Uint8Array,
  fail: (code: "XATTR_INVALID", message: string) => LambdaImgError,
): Uint8Array {
  try {
    return aclToDisk(value);
  } catch (error) {
    if (error instanceof LambdaImgError) throw fail("XATTR_INVALID", error.message);
    throw error;
  }
}
