/** Reads and checks the superblock (Documentation/filesystems/ext4 "Super Block"). */
import { asByteString, type ByteString, toByteString, viewOf } from "../base/bytes.ts";
import { divCeil } from "../base/units.ts";
import { invalidImage, requireChecksum, showBits, unsupportedImage } from "./_read-error.ts";
import * as ext4 from "./constants.ts";
import { crc32c } from "./crc32c.ts";

/** What the superblock says. */
export interface Ext4Superblock {
  readonly blockCount: number;
  readonly inodeCount: number;
  readonly freeBlockCount: number;
  readonly freeInodeCount: number;
  readonly reservedBlockCount: number;
  readonly groupCount: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly inodeBytes: number;
  readonly groupDescriptorBytes: number;
  readonly firstInodeNumber: number;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  readonly label: ByteString;
  /** 16 bytes: four little-endian words. */
  readonly hashSeed: Uint8Array;
  readonly compatFeatures: number;
  readonly incompatFeatures: number;
  readonly roCompatFeatures: number;
  readonly hasMetadataChecksums: boolean;
  /** What every metadata checksum, and every ea_inode's hash, starts with. */
  readonly checksumSeed: number;
}

const INCOMPAT_RECOVER = 0x4;
const INCOMPAT_64BIT = 0x80;
const INCOMPAT_LARGEDIR = 0x4000;
const INCOMPAT_SUPPORTED =
  ext4.INCOMPAT_FILETYPE |
  ext4.INCOMPAT_EXTENTS |
  INCOMPAT_64BIT |
  ext4.INCOMPAT_FLEX_BG |
  ext4.INCOMPAT_EA_INODE |
  ext4.INCOMPAT_CSUM_SEED |
  INCOMPAT_LARGEDIR;
/** "s_checksum_type": 1 is crc32c, the only one there is. */
const CHECKSUM_TYPE_CRC32C = 1;
const CHECKSUM_OFFSET = 0x3fc;

/**
 * Parses the 1024 bytes at offset 1024 of a disk image of `imageBytes` bytes.
 * @throws DISK_IMAGE_INVALID, DISK_IMAGE_UNSUPPORTED
 */
export function parseSuperblock(bytes: Uint8Array, imageBytes: number): Ext4Superblock {
  const view = viewOf(bytes);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const magic = view.getUint16(0x38, true);
  if (magic !== ext4.EXT4_SUPER_MAGIC) {
    throw invalidImage("superblock s_magic", showBits(ext4.EXT4_SUPER_MAGIC), showBits(magic));
  }
  const incompatFeatures = u32(0x60);
  const roCompatFeatures = u32(0x64);
  checkFeatures(view, incompatFeatures);
  const hasMetadataChecksums = (roCompatFeatures & ext4.RO_COMPAT_METADATA_CSUM) !== 0;
  if (hasMetadataChecksums) checkChecksum(bytes, view);

  const has64Bit = (incompatFeatures & INCOMPAT_64BIT) !== 0;
  const high = (offset: number): number => (has64Bit ? u32(offset) * 2 ** 32 : 0);
  const blockCount = u32(0x4) + high(0x150);
  const blocksPerGroup = u32(0x20);
  const uuid = bytes.slice(0x68, 0x78);
  const label = toByteString(bytes.subarray(0x78, 0x88));
  const superblock: Ext4Superblock = {
    blockCount,
    inodeCount: u32(0x0),
    freeBlockCount: u32(0xc) + high(0x158),
    freeInodeCount: u32(0x10),
    reservedBlockCount: u32(0x8) + high(0x154),
    groupCount: divCeil(blockCount, Math.max(blocksPerGroup, 1)),
    blocksPerGroup,
    inodesPerGroup: u32(0x28),
    inodeBytes: view.getUint16(0x58, true),
    groupDescriptorBytes: has64Bit ? view.getUint16(0xfe, true) : ext4.GROUP_DESCRIPTOR_BYTES,
    firstInodeNumber: u32(0x54),
    uuid,
    label: asByteString(label.includes("\0") ? label.slice(0, label.indexOf("\0")) : label),
    hashSeed: bytes.slice(0xec, 0xfc),
    compatFeatures: u32(0x5c),
    incompatFeatures,
    roCompatFeatures,
    hasMetadataChecksums,
    checksumSeed: incompatFeatures & ext4.INCOMPAT_CSUM_SEED ? u32(0x270) : crc32c(0xffffffff, uuid),
  };
  checkGeometry(superblock, imageBytes, u32(0x14));
  return superblock;
}

function checkFeatures(view: DataView, incompatFeatures: number): void {
  const blockSizeShift = view.getUint32(0x18, true);
  if (blockSizeShift !== 2) {
    throw unsupportedImage("superblock block size", "1024 << 2", `1024 << ${blockSizeShift}`);
  }
  if (incompatFeatures & INCOMPAT_RECOVER) {
    throw unsupportedImage("superblock", "no needs_recovery", "journal needs recovery");
  }
  const unknown = incompatFeatures & ~INCOMPAT_SUPPORTED;
  if (unknown !== 0) {
    throw unsupportedImage(
      "superblock incompatible features",
      showBits(INCOMPAT_SUPPORTED),
      showBits(unknown),
    );
  }
  if ((incompatFeatures & ext4.INCOMPAT_FILETYPE) === 0) {
    throw unsupportedImage("superblock", "filetype", "feature filetype is missing");
  }
  const revision = view.getUint32(0x4c, true);
  if (revision !== 1) throw unsupportedImage("superblock s_rev_level", 1, revision);
}

function checkChecksum(bytes: Uint8Array, view: DataView): void {
  const checksumType = bytes[0x175] ?? 0;
  if (checksumType !== CHECKSUM_TYPE_CRC32C) {
    throw unsupportedImage("superblock s_checksum_type", CHECKSUM_TYPE_CRC32C, checksumType);
  }
  const computed = crc32c(0xffffffff, bytes.subarray(0, CHECKSUM_OFFSET));
  requireChecksum("superblock", computed, view.getUint32(CHECKSUM_OFFSET, true));
}

/** Everything that later arithmetic relies on. */
function checkGeometry(superblock: Ext4Superblock, imageBytes: number, firstDataBlock: number): void {
  const { blockCount, inodeBytes, inodesPerGroup, groupCount, blocksPerGroup } = superblock;
  const blockCountMax = Math.floor(imageBytes / ext4.BLOCK_BYTES);
  if (blockCount < 1 || blockCount > blockCountMax) {
    throw invalidImage("superblock s_blocks_count", `1 to ${blockCountMax}`, blockCount);
  }
  // "s_first_data_block": 0 unless blocks are of 1024 bytes.
  if (firstDataBlock !== 0) throw invalidImage("superblock s_first_data_block", 0, firstDataBlock);
  if (blocksPerGroup < 8 || blocksPerGroup > ext4.BLOCKS_PER_GROUP || blocksPerGroup % 8 !== 0) {
    throw unsupportedImage("superblock s_blocks_per_group", ext4.BLOCKS_PER_GROUP, blocksPerGroup);
  }
  if (inodeBytes < 128 || inodeBytes > ext4.BLOCK_BYTES || (inodeBytes & (inodeBytes - 1)) !== 0) {
    throw invalidImage("superblock s_inode_size", "a power of 2, 128 to 4096", inodeBytes);
  }
  // One block of inode bitmap has 32768 bits.
  const isWhole = inodesPerGroup % (ext4.BLOCK_BYTES / inodeBytes) === 0;
  if (inodesPerGroup < 1 || inodesPerGroup > 8 * ext4.BLOCK_BYTES || !isWhole) {
    throw invalidImage("superblock s_inodes_per_group", "whole blocks, 1 to 32768", inodesPerGroup);
  }
  if (superblock.inodeCount !== inodesPerGroup * groupCount) {
    throw invalidImage("superblock s_inodes_count", inodesPerGroup * groupCount, superblock.inodeCount);
  }
  if (superblock.freeBlockCount > blockCount) {
    throw invalidImage("superblock s_free_blocks_count", `0 to ${blockCount}`, superblock.freeBlockCount);
  }
  if (superblock.freeInodeCount > superblock.inodeCount) {
    throw invalidImage(
      "superblock s_free_inodes_count",
      `0 to ${superblock.inodeCount}`,
      superblock.freeInodeCount,
    );
  }
  const { firstInodeNumber, groupDescriptorBytes } = superblock;
  if (firstInodeNumber < ext4.FIRST_INODE_NUMBER || firstInodeNumber > superblock.inodeCount) {
    throw invalidImage("superblock s_first_ino", `11 to ${superblock.inodeCount}`, firstInodeNumber);
  }
  const isWide = (superblock.incompatFeatures & INCOMPAT_64BIT) !== 0;
  if (groupDescriptorBytes !== (isWide ? 64 : ext4.GROUP_DESCRIPTOR_BYTES)) {
    throw unsupportedImage("superblock s_desc_size", isWide ? 64 : 32, groupDescriptorBytes);
  }
}
