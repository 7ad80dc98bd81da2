/**
 * Indexed directories (kernel documentation, "Hash Tree Directories"): leaves of entries ordered by the hash of
 * their names, and one or two levels of index over them.
 */
import { asByteString, viewOf, writeByteString, type ByteString } from "../base/bytes.ts";
import { assert, definite, LambdaImgError } from "../base/error.ts";
import { divCeil } from "../base/units.ts";
import { BLOCK_BYTES, FT_DIR } from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import { hashName } from "./dir-hash.ts";
import {
  DIRECTORY_ROOM_BYTES,
  directoryEntryBytes,
  encodeEntryBlock,
  type DirectoryContent,
  type DirectoryEntry,
} from "./directory-block.ts";
import { inodeSeed } from "./inode.ts";
import { HASH_SEED } from "./profile.ts";

/** DX_HASH_HALF_MD4; that characters are unsigned is said in s_flags. */
const DX_HASH_HALF_MD4 = 1;
const DX_ENTRY_BYTES = 8;
const DX_TAIL_BYTES = 8;
/** Where the counts, and after them the entries, begin: in the root after `.`, `..` and 8 bytes of facts. */
const ROOT_ENTRIES_OFFSET = 32;
const NODE_ENTRIES_OFFSET = 8;
const ROOT_ENTRIES_MAX = 507; // (4096 - 32 - 8) / 8
const NODE_ENTRIES_MAX = 510; // (4096 - 8 - 8) / 8

/** The names of a directory in the order of its index, and how they are divided among its leaves. */
export interface NameIndex {
  /** Places of the names in the list that they came from. */
  readonly ordinals: Uint32Array;
  readonly leaves: readonly Leaf[];
}

/** The names from `from` to before `to` in index order. */
interface Leaf {
  /** The lowest hash that belongs here; its low bit is set where names of the hash begin in the leaf before. */
  readonly hash: number;
  readonly from: number;
  readonly to: number;
}

/**
 * Divides a directory's names, which come in byte order, among leaves.
 * @throws TREE_TOO_LARGE where two levels of index do not reach
 */
export function indexNames(names: readonly ByteString[], path: () => string): NameIndex {
  const { ordinals, hashes } = orderNames(names);
  const leaves = makeLeaves(names, ordinals, hashes);
  if (leaves.length > ROOT_ENTRIES_MAX * NODE_ENTRIES_MAX) {
    throw new LambdaImgError(
      "TREE_TOO_LARGE",
      `${path()}: directory too large: expected at most ${ROOT_ENTRIES_MAX * NODE_ENTRIES_MAX} blocks of entries, found ${leaves.length}`,
    );
  }
  return { ordinals, leaves };
}

/** How many blocks the directory takes: root, index nodes if any, leaves. */
export function indexedBlockCount({ leaves }: NameIndex): number {
  return 1 + nodeCountOf(leaves.length) + leaves.length;
}

/** The blocks in their logical order: root, index nodes if any, leaves. `index` is that of the entries' names. */
export function encodeIndexedDirectory(
  content: DirectoryContent,
  { ordinals, leaves }: NameIndex,
): Uint8Array[] {
  const nodeCount = nodeCountOf(leaves.length);
  const leafPointers = leaves.map(({ hash }, i) => ({ hash, block: 1 + nodeCount + i }));
  const nodes: Uint8Array[] = [];
  let top = leafPointers;
  if (nodeCount > 0) {
    top = [];
    for (let at = 0; at < leafPointers.length; at += NODE_ENTRIES_MAX) {
      const members = leafPointers.slice(at, at + NODE_ENTRIES_MAX);
      top.push({ hash: members[0]?.hash ?? 0, block: 1 + nodes.length });
      nodes.push(encodeNode(members, content.inodeNumber));
    }
  }
  const blocks = [encodeRoot(content, top, nodeCount > 0 ? 1 : 0), ...nodes];
  for (const { from, to } of leaves) {
    const entries: DirectoryEntry[] = [];
    for (let at = from; at < to; at++)
      entries.push(definite(content.entries[ordinals[at] ?? -1], "a name has its entry"));
    blocks.push(encodeEntryBlock(entries, content.inodeNumber));
  }
  return blocks;
}

function nodeCountOf(leafCount: number): number {
  return leafCount <= ROOT_ENTRIES_MAX ? 0 : divCeil(leafCount, NODE_ENTRIES_MAX);
}

/**
 * Divides the names among leaves by halving the range of hashes until each part fits a block. A leaf's bounds then
 * depend on the names in it alone, so a new name changes one leaf, and not all that come after.
 */
function makeLeaves(names: readonly ByteString[], ordinals: Uint32Array, hashes: Uint32Array): Leaf[] {
  const leaves: Leaf[] = [];
  const todo = [{ from: 0, to: ordinals.length, low: 0, high: 2 ** 32 }];
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    const { from, to, low, high } = part;
    if (from === to) continue;
    if (endOfBlock(names, ordinals, part) === to) {
      leaves.push({ hash: low, from, to });
    } else if (high - low <= 2) {
      leaves.push(...leavesOfOneHash(names, ordinals, part));
    } else {
      const middle = (low + high) / 2;
      const split = lowerBound(hashes, { from, to, value: middle });
      todo.push({ from: split, to, low: middle, high }, { from, to: split, low, high: middle });
    }
  }
  return leaves;
}

/** 2^22 names at most, so that half a hash (its low bit is zero) and an ordinal are one exact number. */
const ORDINAL_LIMIT = 2 ** 22;

/** The names' ordinals in order of hash, minor hash, name; and the hashes in that order. */
function orderNames(names: readonly ByteString[]): { ordinals: Uint32Array; hashes: Uint32Array } {
  assert(names.length <= ORDINAL_LIMIT, "a tree has fewer inodes than a directory could have names");
  const minors = new Uint32Array(names.length);
  // Numbers in a typed array sort ten times as fast as objects: a directory can have a million names.
  const keys = new Float64Array(names.length);
  names.forEach((name, ordinal) => {
    const { hash, minor } = hashName(name, HASH_SEED);
    minors[ordinal] = minor;
    keys[ordinal] = (hash / 2) * ORDINAL_LIMIT + ordinal;
  });
  keys.sort((a, b) => a - b);
  // Not TypedArray.from with a function: that makes a list of objects of them first.
  const ordinals = new Uint32Array(keys.length);
  const hashes = new Uint32Array(keys.length);
  keys.forEach((key, index) => {
    ordinals[index] = key % ORDINAL_LIMIT;
    hashes[index] = 2 * Math.floor(key / ORDINAL_LIMIT);
  });
  for (let from = 0, to = 1; to <= hashes.length; to++) {
    if (to < hashes.length && hashes[to] === hashes[from]) continue;
    // The names came in byte order: within one hash only the minor hash can say otherwise.
    if (to - from > 1)
      ordinals.subarray(from, to).sort((a, b) => (minors[a] ?? 0) - (minors[b] ?? 0) || a - b);
    from = to;
  }
  return { ordinals, hashes };
}

/** The first place from `from` to `to` whose number is at least `value`. */
function lowerBound(
  sorted: Uint32Array,
  range: { readonly from: number; readonly to: number; readonly value: number },
): number {
  let { from, to } = range;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((sorted[middle] ?? 0) < range.value) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** More names of one hash than a block holds: the leaves after the first are marked as its continuation. */
function leavesOfOneHash(
  names: readonly ByteString[],
  ordinals: Uint32Array,
  { from, to, low }: { readonly from: number; readonly to: number; readonly low: number },
): Leaf[] {
  const leaves: Leaf[] = [];
  for (let start = from; start < to;) {
    const end = endOfBlock(names, ordinals, { from: start, to });
    leaves.push({ hash: start === from ? low : low + 1, from: start, to: end });
    start = end;
  }
  return leaves;
}

/** The end of as many of the names as one block holds. */
function endOfBlock(
  names: readonly ByteString[],
  ordinals: Uint32Array,
  { from, to }: { readonly from: number; readonly to: number },
): number {
  let bytes = 0;
  for (let at = from; at < to; at++) {
    bytes += directoryEntryBytes(names[ordinals[at] ?? -1] ?? asByteString(""));
    if (bytes > DIRECTORY_ROOM_BYTES) return at;
  }
  return to;
}

interface IndexPointer {
  readonly hash: number;
  /** Logical block of the directory. */
  readonly block: number;
}

function encodeRoot(
  content: DirectoryContent,
  pointers: readonly IndexPointer[],
  levels: number,
): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const view = viewOf(block);
  const dot = (at: number, inodeNumber: number, length: number, name: ByteString): void => {
    view.setUint32(at, inodeNumber, true);
    view.setUint16(at + 4, length, true);
    view.setUint8(at + 6, name.length);
    view.setUint8(at + 7, FT_DIR);
    writeByteString(block, name, at + 8);
  };
  dot(0, content.inodeNumber, 12, asByteString("."));
  dot(12, content.parentInodeNumber, BLOCK_BYTES - 12, asByteString(".."));
  view.setUint8(0x1c, DX_HASH_HALF_MD4);
  view.setUint8(0x1d, 8); // info_length
  view.setUint8(0x1e, levels);
  return encodePointers(block, pointers, {
    offset: ROOT_ENTRIES_OFFSET,
    entriesMax: ROOT_ENTRIES_MAX,
    inodeNumber: content.inodeNumber,
  });
}

function encodeNode(pointers: readonly IndexPointer[], inodeNumber: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  // An unused entry over the whole block: to a reader without indexes the block is empty.
  viewOf(block).setUint16(4, BLOCK_BYTES, true);
  return encodePointers(block, pointers, {
    offset: NODE_ENTRIES_OFFSET,
    entriesMax: NODE_ENTRIES_MAX,
    inodeNumber,
  });
}

function encodePointers(
  block: Uint8Array,
  pointers: readonly IndexPointer[],
  shape: { readonly offset: number; readonly entriesMax: number; readonly inodeNumber: number },
): Uint8Array {
  const view = viewOf(block);
  pointers.forEach(({ hash, block: target }, i) => {
    const at = shape.offset + i * DX_ENTRY_BYTES;
    // The first entry's hash is taken to be 0, and its room holds the counts ("struct dx_countlimit").
    if (i > 0) view.setUint32(at, hash, true);
    view.setUint32(at + 4, target, true);
  });
  view.setUint16(shape.offset, shape.entriesMax, true);
  view.setUint16(shape.offset + 2, pointers.length, true);
  // ext4_dx_csum: the block up to its last entry, then the tail with the checksum taken as zero.
  const used = block.subarray(0, shape.offset + pointers.length * DX_ENTRY_BYTES);
  const checksum = crc32c(crc32c(inodeSeed(shape.inodeNumber), used), new Uint8Array(DX_TAIL_BYTES));
  view.setUint32(BLOCK_BYTES - 4, checksum, true);
  return block;
}
