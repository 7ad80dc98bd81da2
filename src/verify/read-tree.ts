/** The tree of a disk image through our own reader, every byte of every file read. */
import { asByteString, type ByteString } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancel.ts";
import type { Ext4Inode, Ext4Reader } from "../ext4/reader.ts";
import { ContentDigestBuilder } from "./content-digest.ts";
import { showXattrValue, type FileNode, type FileTree } from "./file-tree.ts";

/** A disk image's tree. */
export interface TreeReading {
  readonly tree: FileTree;
  /** Regular files, each counted once however many names it has. */
  readonly fileCount: number;
  /** The sum of their sizes, holes included. */
  readonly fileBytes: number;
}

/** What goes with the reading. */
export interface ReadTreeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told how many files have been read so far, of how many. */
  onFile?(readCount: number, fileCount: number): void;
}

interface MutableNode extends FileNode {
  content: string;
}

/** A file whose content is still to be read. */
interface Unread {
  readonly node: MutableNode;
  readonly inodeNumber: number;
  readonly firstDiskBlock: number;
}

interface Range {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

const BLOCK_BYTES = 4096;
/** Holes of up to 1 MiB are read as part of the file around them. */
const HOLE_BLOCKS_READ = 256;
const RANGE_COUNT_MAX = 1024;

/**
 * Reads the whole tree and all content.
 * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED; what the reader's source throws; CANCELLED
 */
export async function readTree(reader: Ext4Reader, options: ReadTreeOptions = {}): Promise<TreeReading> {
  const tree = new Map<ByteString, FileNode>();
  const nodes = new Map<number, FileNode>();
  const unread: Unread[] = [];
  for await (const { path, inodeNumber, inode } of reader.walk()) {
    throwIfCancelled(options.signal);
    let node = nodes.get(inodeNumber);
    if (node === undefined) {
      const made = await nodeOf(reader, inode);
      if (inode.type === "file") {
        const [first] = await reader.extents(inode);
        unread.push({ node: made, inodeNumber, firstDiskBlock: first?.diskBlock ?? 0 });
      }
      node = made;
      // A file's links may be counted wrong: only a directory is sure to have one path.
      if (inode.type !== "dir") nodes.set(inodeNumber, node);
    }
    tree.set(path, node);
  }
  // In the order of the disk, so that every chunk is opened about once.
  unread.sort((left, right) => left.firstDiskBlock - right.firstDiskBlock);
  let fileBytes = 0;
  for (const [index, { node, inodeNumber }] of unread.entries()) {
    throwIfCancelled(options.signal);
    const inode = await reader.readInode(inodeNumber);
    node.content = await contentDigestOf(reader, inode);
    fileBytes += inode.sizeBytes;
    options.onFile?.(index + 1, unread.length);
  }
  return { tree, fileCount: unread.length, fileBytes };
}

async function nodeOf(reader: Ext4Reader, inode: Ext4Inode): Promise<MutableNode> {
  const xattrs = new Map<ByteString, string>();
  for (const [name, value] of await reader.readXattrs(inode)) xattrs.set(name, showXattrValue(value));
  return {
    type: inode.type,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtime: inode.mtime,
    sizeBytes: inode.type === "file" ? inode.sizeBytes : 0,
    content: "",
    linkTarget: inode.type === "symlink" ? await reader.readLink(inode) : asByteString(""),
    deviceMajor: inode.deviceMajor,
    deviceMinor: inode.deviceMinor,
    xattrs,
    linkCount: inode.linkCount,
  };
}

async function contentDigestOf(reader: Ext4Reader, inode: Ext4Inode): Promise<string> {
  const digest = new ContentDigestBuilder();
  for (const range of await rangesOf(reader, inode)) {
    let at = range.offsetBytes;
    for await (const piece of reader.readFile(inode, range)) {
      digest.add(at, piece);
      at += piece.length;
    }
  }
  return digest.finish(inode.sizeBytes);
}

/** The parts of a file that are to be read: few, and without its large holes. */
async function rangesOf(reader: Ext4Reader, inode: Ext4Inode): Promise<readonly Range[]> {
  const fileBlocks = Math.ceil(inode.sizeBytes / BLOCK_BYTES);
  // Each range costs a pass over the file's extents: there are never more than RANGE_COUNT_MAX.
  const holeBlocksMax = Math.max(HOLE_BLOCKS_READ, Math.ceil(fileBlocks / RANGE_COUNT_MAX));
  const runs: { from: number; to: number }[] = [];
  for (const { fileBlock, blockCount, isUnwritten } of await reader.extents(inode)) {
    const to = Math.min(fileBlock + blockCount, fileBlocks);
    if (isUnwritten || to <= fileBlock) continue;
    const last = runs.at(-1);
    if (last !== undefined && fileBlock - last.to <= holeBlocksMax) last.to = to;
    else runs.push({ from: fileBlock, to });
  }
  return runs.map(({ from, to }) => ({
    offsetBytes: from * BLOCK_BYTES,
    sizeBytes: (to - from) * BLOCK_BYTES,
  }));
}
