/** The superblock and the group descriptors (kernel documentation, "Super Block", "Block Group Descriptors"). */
import { fromHex, utf8ByteString, viewOf, writeByteString } from "../base/bytes.ts";
import {
  BG_BLOCK_UNINIT,
  BG_INODE_UNINIT,
  BG_INODE_ZEROED,
  BLOCKS_PER_GROUP,
  COMPAT_DIR_INDEX,
  COMPAT_EXT_ATTR,
  COMPAT_SPARSE_SUPER2,
  EXT4_SUPER_MAGIC,
  FIRST_INODE_NUMBER,
  GROUP_DESCRIPTOR_BYTES,
  INCOMPAT_CSUM_SEED,
  INCOMPAT_EA_INODE,
  INCOMPAT_EXTENTS,
  INCOMPAT_FILETYPE,
  INCOMPAT_FLEX_BG,
  INODE_BYTES,
  RO_COMPAT_DIR_NLINK,
  RO_COMPAT_EXTRA_ISIZE,
  RO_COMPAT_HUGE_FILE,
  RO_COMPAT_LARGE_FILE,
  RO_COMPAT_METADATA_CSUM,
  SUPERBLOCK_BYTES,
} from "./constants.ts";
import { crc32c } from "./crc32c.ts";
import type { Geometry } from "./geometry.ts";
import { EXTRA_ISIZE } from "./inode.ts";
import { CHECKSUM_SEED, HASH_SEED, LOG_GROUPS_PER_FLEX, VOLUME_NAME, VOLUME_UUID } from "./profile.ts";

/** What a group's descriptor says of its use. */
export interface GroupUse {
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly directories: number;
  /** Inodes after the last one in use. */
  readonly unusedInodes: number;
  /** True where no block (or inode) is in use, so that the bitmap's block is not written. */
  readonly isBlockBitmapOmitted: boolean;
  readonly isInodeBitmapOmitted: boolean;
  /** CRC-32C of the bitmap's bytes. */
  readonly blockBitmapChecksum: number;
  readonly inodeBitmapChecksum: number;
}

/** The superblock's 1024 bytes. */
export function encodeSuperblock(
  geometry: Geometry,
  groups: readonly GroupUse[],
  options: { readonly hasValueInodes: boolean },
): Uint8Array {
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const view = viewOf(bytes);
  const u32 = (offset: number, value: number): void => {
    view.setUint32(offset, value, true);
  };
  const u16 = (offset: number, value: number): void => {
    view.setUint16(offset, value, true);
  };
  u32(0x0, geometry.groupCount * geometry.inodesPerGroup);
  u32(0x4, geometry.blockCount);
  u32(
    0xc,
    sumOf(groups, (group) => group.freeBlocks),
  );
  u32(
    0x10,
    sumOf(groups, (group) => group.freeInodes),
  );
  u32(0x18, 2); // s_log_block_size: 2^(10 + 2)
  u32(0x1c, 2); // s_log_cluster_size
  u32(0x20, BLOCKS_PER_GROUP);
  u32(0x24, BLOCKS_PER_GROUP); // s_clusters_per_group
  u32(0x28, geometry.inodesPerGroup);
  u16(0x36, 0xffff); // s_max_mnt_count: never ask for a check
  u16(0x38, EXT4_SUPER_MAGIC);
  u16(0x3a, 1); // s_state: cleanly unmounted
  u16(0x3c, 1); // s_errors: continue
  u32(0x4c, 1); // s_rev_level: dynamic
  u32(0x54, FIRST_INODE_NUMBER);
  u16(0x58, INODE_BYTES);
  u32(0x5c, COMPAT_EXT_ATTR | COMPAT_DIR_INDEX | COMPAT_SPARSE_SUPER2);
  u32(
    0x60,
    INCOMPAT_FILETYPE |
      INCOMPAT_EXTENTS |
      INCOMPAT_FLEX_BG |
      INCOMPAT_CSUM_SEED |
      (options.hasValueInodes ? INCOMPAT_EA_INODE : 0),
  );
  u32(
    0x64,
    RO_COMPAT_LARGE_FILE |
      RO_COMPAT_HUGE_FILE |
      RO_COMPAT_DIR_NLINK |
      RO_COMPAT_EXTRA_ISIZE |
      RO_COMPAT_METADATA_CSUM,
  );
  bytes.set(fromHex(VOLUME_UUID), 0x68);
  writeByteString(bytes, utf8ByteString(VOLUME_NAME), 0x78);
  HASH_SEED.forEach((word, i) => {
    u32(0xec + 4 * i, word);
  });
  view.setUint8(0xfc, 1); // s_def_hash_version: half MD4
  u32(0x100, 0xc); // s_default_mount_opts: user_xattr, acl
  u16(0x15c, EXTRA_ISIZE); // s_min_extra_isize
  u16(0x15e, EXTRA_ISIZE); // s_want_extra_isize
  u32(0x160, 2); // s_flags: directory hashes of unsigned characters
  view.setUint8(0x174, LOG_GROUPS_PER_FLEX);
  view.setUint8(0x175, 1); // s_checksum_type: CRC-32C
  u32(0x270, CHECKSUM_SEED);
  // s_checksum covers all before it and starts from ~0, not from the file system's seed.
  u32(0x3fc, crc32c(0xffffffff, bytes.subarray(0, 0x3fc)));
  return bytes;
}

/** The group descriptors, one after another. */
export function encodeGroupDescriptors(geometry: Geometry, groups: readonly GroupUse[]): Uint8Array {
  const bytes = new Uint8Array(groups.length * GROUP_DESCRIPTOR_BYTES);
  groups.forEach((group, index) => {
    const descriptor = bytes.subarray(index * GROUP_DESCRIPTOR_BYTES, (index + 1) * GROUP_DESCRIPTOR_BYTES);
    const view = viewOf(descriptor);
    view.setUint32(0x0, geometry.blockBitmapStart + index, true);
    view.setUint32(0x4, geometry.inodeBitmapStart + index, true);
    view.setUint32(0x8, geometry.inodeTableStart + index * geometry.inodeTableBlocksPerGroup, true);
    view.setUint16(0xc, group.freeBlocks, true);
    view.setUint16(0xe, group.freeInodes, true);
    view.setUint16(0x10, group.directories, true);
    const flags =
      BG_INODE_ZEROED |
      (group.isBlockBitmapOmitted ? BG_BLOCK_UNINIT : 0) |
      (group.isInodeBitmapOmitted ? BG_INODE_UNINIT : 0);
    view.setUint16(0x12, flags, true);
    // Descriptors of 32 bytes keep the low half of each bitmap's checksum.
    view.setUint16(0x18, group.blockBitmapChecksum & 0xffff, true);
    view.setUint16(0x1a, group.inodeBitmapChecksum & 0xffff, true);
    view.setUint16(0x1c, group.unusedInodes, true);
    const number = new Uint8Array(4);
    viewOf(number).setUint32(0, index, true);
    view.setUint16(0x1e, crc32c(crc32c(CHECKSUM_SEED, number), descriptor) & 0xffff, true);
  });
  return bytes;
}

/** Blocks that the group has: the last one may be short. */
export function groupBlockCount(geometry: Geometry, group: number): number {
  return Math.min(BLOCKS_PER_GROUP, geometry.blockCount - group * BLOCKS_PER_GROUP);
}

function sumOf(groups: readonly GroupUse[], value: (group: GroupUse) => number): number {
  return groups.reduce((sum, group) => sum + value(group), 0);
}
