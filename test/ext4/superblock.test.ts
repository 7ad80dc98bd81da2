import { describe, expect, test } from "vitest";

import { viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import type { Geometry } from "../../src/ext4/geometry.ts";
import { CHECKSUM_SEED } from "../../src/ext4/profile.ts";
import {
  encodeGroupDescriptors,
  encodeSuperblock,
  groupBlockCount,
  type GroupUse,
} from "../../src/ext4/superblock.ts";

const GEOMETRY: Geometry = {
  blockCount: 2 * 32768 + 128,
  groupCount: 3,
  inodesPerGroup: 48,
  descriptorBlocks: 1,
  firstFreeBlock: 6,
  inodeTableStart: 256,
  inodeTableBlocksPerGroup: 3,
  blockBitmapStart: 2,
  inodeBitmapStart: 5,
  contentEnd: 384,
};
const group = (fields: Partial<GroupUse>): GroupUse => ({
  freeBlocks: 100,
  freeInodes: 20,
  directories: 7,
  unusedInodes: 3,
  isBlockBitmapOmitted: false,
  isInodeBitmapOmitted: false,
  blockBitmapChecksum: 0x12345678,
  inodeBitmapChecksum: 0x9abcdef0,
  ...fields,
});
const GROUPS = [group({}), group({ isBlockBitmapOmitted: true, isInodeBitmapOmitted: true }), group({})];

describe("the superblock", () => {
  const bytes = encodeSuperblock(GEOMETRY, GROUPS, { hasValueInodes: false });
  const view = viewOf(bytes);

  test.each([
    ["s_inodes_count", 0x0, 144],
    ["s_blocks_count_lo", 0x4, 2 * 32768 + 128],
    ["s_r_blocks_count_lo", 0x8, 0],
    ["s_free_blocks_count_lo", 0xc, 300],
    ["s_free_inodes_count", 0x10, 60],
    ["s_first_data_block", 0x14, 0],
    ["s_log_block_size", 0x18, 2],
    ["s_blocks_per_group", 0x20, 32768],
    ["s_inodes_per_group", 0x28, 48],
    ["s_mtime", 0x2c, 0],
    ["s_wtime", 0x30, 0],
    ["s_rev_level", 0x4c, 1],
    ["s_first_ino", 0x54, 11],
    // ext_attr, dir_index, sparse_super2.
    ["s_feature_compat", 0x5c, 0x228],
    // filetype, extents, flex_bg, metadata_csum_seed.
    ["s_feature_incompat", 0x60, 0x2242],
    // large_file, huge_file, dir_nlink, extra_isize, metadata_csum.
    ["s_feature_ro_compat", 0x64, 0x46a],
    ["s_flags", 0x160, 2],
    ["s_checksum_seed", 0x270, CHECKSUM_SEED],
  ])("has %s at 0x%s", (_, offset, value) => {
    expect(view.getUint32(offset, true)).toBe(value);
  });

  test("has the magic number, a clean state and a checksum", () => {
    expect(bytes).toHaveLength(1024);
    expect(view.getUint16(0x38, true)).toBe(0xef53);
    expect(view.getUint16(0x3a, true)).toBe(1);
    expect(view.getUint32(0x3fc, true)).toBe(crc32c(0xffffffff, bytes.subarray(0, 0x3fc)));
  });

  test("has the feature ea_inode where there are such inodes", () => {
    const other = encodeSuperblock(GEOMETRY, GROUPS, { hasValueInodes: true });
    expect(viewOf(other).getUint32(0x60, true)).toBe(0x2642);
  });
});

describe("a group descriptor", () => {
  const bytes = encodeGroupDescriptors(GEOMETRY, GROUPS);

  test.each([0, 1, 2])("%i tells where its group's metadata is", (index) => {
    const view = viewOf(bytes.subarray(32 * index, 32 * index + 32));
    expect([0, 4, 8].map((at) => view.getUint32(at, true))).toEqual([2 + index, 5 + index, 256 + 3 * index]);
    expect([0xc, 0xe, 0x10, 0x1c].map((at) => view.getUint16(at, true))).toEqual([100, 20, 7, 3]);
    // INODE_ZEROED; BLOCK_UNINIT and INODE_UNINIT where the bitmap is not written.
    expect(view.getUint16(0x12, true)).toBe(index === 1 ? 7 : 4);
    expect([0x18, 0x1a].map((at) => view.getUint16(at, true))).toEqual([0x5678, 0xdef0]);
  });

  test("has a checksum of its number and its bytes", () => {
    for (const index of [0, 1, 2]) {
      const descriptor = bytes.slice(32 * index, 32 * index + 32);
      const found = viewOf(descriptor).getUint16(0x1e, true);
      viewOf(descriptor).setUint16(0x1e, 0, true);
      const seed = crc32c(CHECKSUM_SEED, Uint8Array.of(index, 0, 0, 0));
      expect(found).toBe(crc32c(seed, descriptor) & 0xffff);
    }
  });
});

test("the last group may be short", () => {
  expect([0, 1, 2].map((index) => groupBlockCount(GEOMETRY, index))).toEqual([32768, 32768, 128]);
});
