/**
 * Reads an ext4 disk image, strictly: what the format forbids is DISK_IMAGE_INVALID, what this reader does
 * not know is DISK_IMAGE_UNSUPPORTED, and every metadata checksum that is there is verified. Read-only;
 * 4096-byte blocks and extents only; no journal is replayed. Format: Documentation/filesystems/ext4 of Linux.
 */
import type { BlockSource } from "../base/block-source.ts";
import type { ByteString } from "../base/bytes.ts";
import { type Ext4DirectoryEntry, readDirectoryBlocks } from "./_read-directory.ts";
import { DiskImage } from "./_read-disk-image.ts";
import {
  type Ext4Extent,
  readContent,
  readExtents,
  type ReadFileOptions,
  requireType,
} from "./_read-extent.ts";
import { type Ext4Inode, readInode } from "./_read-inode.ts";
import { type FoundInode, lookupPath, readLink, type WalkedPath, walkTree } from "./_read-path.ts";
import type { Ext4Superblock } from "./_read-superblock.ts";
import { readXattrs } from "./_read-xattr.ts";

export type { Ext4DirectoryEntry } from "./_read-directory.ts";
export type { Ext4Extent, ReadFileOptions } from "./_read-extent.ts";
export type { Ext4Inode } from "./_read-inode.ts";
export type { FoundInode, WalkedPath } from "./_read-path.ts";
export type { Ext4Superblock } from "./_read-superblock.ts";

/**
 * One disk image. It keeps up to 8 MiB of metadata blocks in memory and needs no closing; the source stays
 * the caller's. Errors of the source pass through every method.
 */
export class Ext4Reader {
  readonly superblock: Ext4Superblock;
  readonly #image: DiskImage;

  private constructor(image: DiskImage) {
    this.#image = image;
    this.superblock = image.superblock;
  }

  /**
   * Checks the superblock: magic number, features, checksum, geometry.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
   */
  static async open(source: BlockSource): Promise<Ext4Reader> {
    return new Ext4Reader(await DiskImage.open(source));
  }

  /**
   * Reads one inode in use.
   * @throws DISK_IMAGE_INVALID if it is damaged, unused or does not exist
   */
  readInode(inodeNumber: number): Promise<Ext4Inode> {
    return readInode(this.#image, inodeNumber);
  }

  /**
   * The names of a directory in disk order, without `.` and `..`. A name that the directory has twice comes
   * twice; `walk` refuses it.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED; FILE_TYPE_UNSUPPORTED if it is no directory
   */
  async listDirectory(inode: Ext4Inode): Promise<readonly Ext4DirectoryEntry[]> {
    const entries: Ext4DirectoryEntry[] = [];
    for await (const block of readDirectoryBlocks(this.#image, inode)) {
      for (const entry of block.entries) entries.push(entry);
    }
    return entries;
  }

  /**
   * The target of a symlink.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED; FILE_TYPE_UNSUPPORTED if it is no symlink
   */
  readLink(inode: Ext4Inode): Promise<ByteString> {
    return readLink(this.#image, inode);
  }

  /**
   * Extended attributes by full name, in disk order, POSIX ACLs as getxattr(2) gives them. The values are
   * the caller's.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
   */
  readXattrs(inode: Ext4Inode): Promise<ReadonlyMap<ByteString, Uint8Array>> {
    return readXattrs(this.#image, inode);
  }

  /**
   * Where the blocks of a file, directory or long symlink are, in the file's order.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
   */
  extents(inode: Ext4Inode): Promise<readonly Ext4Extent[]> {
    return readExtents(this.#image, inode);
  }

  /**
   * The bytes of a file, in pieces of at most 512 KiB. The pieces must not be written to: holes come as views
   * of one shared buffer of zeros. A range is cut to the file's size.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED; FILE_TYPE_UNSUPPORTED if it is no file
   */
  async *readFile(inode: Ext4Inode, options: ReadFileOptions = {}): AsyncGenerator<Uint8Array> {
    requireType(inode, "file");
    yield* readContent(this.#image, inode, options);
  }

  /**
   * The inode at `path`, which starts at the root directory with or without a slash. Symlinks are followed
   * inside the disk image, the last one if asked to or if a slash follows it; `..` stops at the root directory.
   * @throws PATH_NOT_FOUND naming the component that does not exist or is in no directory; LINKS_TOO_MANY
   *   after 40 symlinks; PATH_TOO_LONG; DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
   */
  lookup(path: ByteString, options: { readonly followLast: boolean }): Promise<FoundInode> {
    return lookupPath(this.#image, path, options);
  }

  /**
   * Every path once, the root directory `/` first: directories before their children, names of one directory
   * in byte order. A directory with two names, a name twice in one directory, a wrong `..` or a type in a
   * name that is not the inode's are refused.
   * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
   */
  walk(): AsyncIterable<WalkedPath> {
    return walkTree(this.#image);
  }
}
