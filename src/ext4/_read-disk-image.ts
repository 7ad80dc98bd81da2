/** A disk image's blocks, group descriptors and raw inodes: what all parts of the reader stand on. */
import type { BlockSource } from "../base/block-source.ts";
import { viewOf } from "../base/bytes.ts";
import { divCeil } from "../base/units.ts";
import { invalidImage, requireChecksum } from "./_read-error.ts";
import { type Ext4Superblock, parseSuperblock } from "./_read-superblock.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";

/** Metadata blocks kept in memory: 2048 blocks = 8 MiB, the inode tables of 32,768 inodes. */
const CACHED_BLOCK_COUNT = 2048;
/** More than our largest disk image has (16,256); hostile ones can have many more. */
const REMEMBERED_GROUP_COUNT = 32_768;
/** Group checksums of either kind (gdt_csum, metadata_csum) make bg_flags and bg_itable_unused meaningful. */
const RO_COMPAT_GDT_CSUM = 0x10;
const ZERO_2 = new Uint8Array(2);

/** What reading an inode needs of its group's descriptor. */
interface InodeTable {
  readonly tableBlock: number;
  /** Inodes at the table's start that may be in use. */
  readonly usedCount: number;
}

/** Reads blocks within bounds, and remembers the metadata ones. */
export class DiskImage {
  readonly superblock: Ext4Superblock;
  readonly #source: BlockSource;
  /** In order of last use, the oldest first. */
  readonly #cachedBlocks = new Map<number, Uint8Array>();
  /** Of groups whose descriptors have been checked. */
  readonly #inodeTables = new Map<number, InodeTable>();

  constructor(source: BlockSource, superblock: Ext4Superblock) {
    this.#source = source;
    this.superblock = superblock;
  }

  static async open(source: BlockSource): Promise<DiskImage> {
    const neededBytes = ext4.SUPERBLOCK_OFFSET + ext4.SUPERBLOCK_BYTES;
    if (source.sizeBytes < neededBytes) {
      throw invalidImage("disk image size", `at least ${neededBytes} bytes`, source.sizeBytes);
    }
    const bytes = await source.read(ext4.SUPERBLOCK_OFFSET, ext4.SUPERBLOCK_BYTES);
    return new DiskImage(source, parseSuperblock(bytes, source.sizeBytes));
  }

  /** One metadata block, from memory if it was read lately; the caller must not write to it. */
  async readBlock(diskBlock: number, where: string): Promise<Uint8Array> {
    const cached = this.#cachedBlocks.get(diskBlock);
    if (cached !== undefined) {
      this.#cachedBlocks.delete(diskBlock);
      this.#cachedBlocks.set(diskBlock, cached);
      return cached;
    }
    // A copy: what a source returns may keep a whole chunk in memory.
    const block = Uint8Array.from(await this.readBlocks(diskBlock, 1, where));
    if (this.#cachedBlocks.size >= CACHED_BLOCK_COUNT) {
      for (const oldest of this.#cachedBlocks.keys()) {
        this.#cachedBlocks.delete(oldest);
        break;
      }
    }
    this.#cachedBlocks.set(diskBlock, block);
    return block;
  }

  /** A run of blocks, straight from the source. */
  async readBlocks(diskBlock: number, blockCount: number, where: string): Promise<Uint8Array> {
    this.requireRun(diskBlock, blockCount, where);
    return this.#source.read(diskBlock * ext4.BLOCK_BYTES, blockCount * ext4.BLOCK_BYTES);
  }

  /** Throws unless the run lies in the disk image, behind the superblock's block. */
  requireRun(diskBlock: number, blockCount: number, where: string): void {
    const end = this.superblock.blockCount;
    if (diskBlock < 1 || diskBlock + blockCount > end) {
      throw invalidImage(where, `blocks in 1 to ${end - 1}`, `${blockCount} at ${diskBlock}`);
    }
  }

  /** The bytes of an inode, a copy, unchecked. */
  async readRawInode(inodeNumber: number): Promise<Uint8Array> {
    const { inodeCount, inodesPerGroup, inodeBytes } = this.superblock;
    if (!Number.isInteger(inodeNumber) || inodeNumber < 1 || inodeNumber > inodeCount) {
      throw invalidImage("inode number", `1 to ${inodeCount}`, inodeNumber);
    }
    const group = Math.floor((inodeNumber - 1) / inodesPerGroup);
    const inodeIndex = (inodeNumber - 1) % inodesPerGroup;
    const { tableBlock, usedCount } = this.#inodeTables.get(group) ?? (await this.#readInodeTable(group));
    if (inodeIndex >= usedCount) {
      throw invalidImage(`inode ${inodeNumber}`, `one of ${usedCount} in use in group ${group}`, inodeIndex);
    }
    const offsetBytes = inodeIndex * inodeBytes;
    const diskBlock = tableBlock + Math.floor(offsetBytes / ext4.BLOCK_BYTES);
    const block = await this.readBlock(diskBlock, `inode ${inodeNumber}`);
    const inBlock = offsetBytes % ext4.BLOCK_BYTES;
    return block.slice(inBlock, inBlock + inodeBytes);
  }

  async #readInodeTable(group: number): Promise<InodeTable> {
    const where = `group ${group} descriptor`;
    const { groupDescriptorBytes, inodesPerGroup, inodeBytes, roCompatFeatures } = this.superblock;
    const offsetBytes = group * groupDescriptorBytes;
    // "Block Group Descriptors": without meta_bg they start in the block behind the superblock's.
    const block = await this.readBlock(1 + Math.floor(offsetBytes / ext4.BLOCK_BYTES), where);
    const inBlock = offsetBytes % ext4.BLOCK_BYTES;
    const bytes = block.subarray(inBlock, inBlock + groupDescriptorBytes);
    const view = viewOf(bytes);
    if (this.superblock.hasMetadataChecksums) {
      const computed = groupChecksum(this.superblock.checksumSeed, group, bytes);
      requireChecksum(where, computed, view.getUint16(0x1e, true));
    }
    let usedCount = inodesPerGroup;
    if (roCompatFeatures & (RO_COMPAT_GDT_CSUM | ext4.RO_COMPAT_METADATA_CSUM)) {
      // bg_itable_unused: inodes at the table's end that were never used and may not even be zeroed.
      const unusedHigh = groupDescriptorBytes === 64 ? view.getUint16(0x32, true) * 65536 : 0;
      const isUninit = (view.getUint16(0x12, true) & ext4.BG_INODE_UNINIT) !== 0;
      usedCount = isUninit ? 0 : inodesPerGroup - view.getUint16(0x1c, true) - unusedHigh;
    }
    const high = groupDescriptorBytes === 64 ? view.getUint32(0x28, true) * 2 ** 32 : 0;
    const tableBlock = view.getUint32(0x8, true) + high;
    this.requireRun(
      tableBlock,
      divCeil(inodesPerGroup * inodeBytes, ext4.BLOCK_BYTES),
      `${where} inode table`,
    );
    const table = { tableBlock, usedCount };
    if (this.#inodeTables.size >= REMEMBERED_GROUP_COUNT) this.#inodeTables.clear();
    this.#inodeTables.set(group, table);
    return table;
  }
}

/** "Block Group Descriptors", bg_checksum: of the group's number and the descriptor; 16 bits of it are stored. */
function groupChecksum(seed: number, group: number, bytes: Uint8Array): number {
  let crc = checksumNumber(seed, group);
  crc = crc32c(crc, bytes.subarray(0, 0x1e));
  crc = crc32c(crc, ZERO_2);
  return crc32c(crc, bytes.subarray(0x20)) & 0xffff;
}

/** The checksum continued over a number as four little-endian bytes. */
export function checksumNumber(seed: number, value: number): number {
  // By hand: a DataView for each of a million inodes is a third of the time of reading them.
  for (let i = 0; i < 4; i++) NUMBER_BYTES[i] = (value >>> (8 * i)) & 0xff;
  return crc32c(seed, NUMBER_BYTES);
}

const NUMBER_BYTES = new Uint8Array(4);
