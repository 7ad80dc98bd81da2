/**
 * The numbers of the ext4 on-disk format that this project's profile uses, by their names in the kernel
 * (Documentation/filesystems/ext4, fs/ext4/ext4.h). Offsets are in bytes from the start of the structure.
 */

export const BLOCK_BYTES = 4096;
export const BLOCKS_PER_GROUP = 32768;
export const INODE_BYTES = 256;
export const INODES_PER_BLOCK = 16;
export const GROUP_DESCRIPTOR_BYTES = 32;

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;
export const EXT4_SUPER_MAGIC = 0xef53;

// "Reserved inodes": 1 bad blocks, 2 root directory, …; the first one for files is s_first_ino.
export const ROOT_INODE_NUMBER = 2;
export const FIRST_INODE_NUMBER = 11;

export const COMPAT_EXT_ATTR = 0x8;
export const COMPAT_DIR_INDEX = 0x20;
export const COMPAT_SPARSE_SUPER2 = 0x200;
export const INCOMPAT_FILETYPE = 0x2;
export const INCOMPAT_EXTENTS = 0x40;
export const INCOMPAT_FLEX_BG = 0x200;
export const INCOMPAT_EA_INODE = 0x400;
export const INCOMPAT_CSUM_SEED = 0x2000;
export const RO_COMPAT_LARGE_FILE = 0x2;
export const RO_COMPAT_HUGE_FILE = 0x8;
export const RO_COMPAT_DIR_NLINK = 0x20;
export const RO_COMPAT_EXTRA_ISIZE = 0x40;
export const RO_COMPAT_METADATA_CSUM = 0x400;

export const BG_INODE_UNINIT = 0x1;
export const BG_BLOCK_UNINIT = 0x2;
export const BG_INODE_ZEROED = 0x4;

export const S_IFIFO = 0x1000;
export const S_IFCHR = 0x2000;
export const S_IFDIR = 0x4000;
export const S_IFBLK = 0x6000;
export const S_IFREG = 0x8000;
export const S_IFLNK = 0xa000;
export const S_IFSOCK = 0xc000;
export const S_IFMT = 0xf000;

export const EXT4_INDEX_FL = 0x1000;
export const EXT4_EXTENTS_FL = 0x80000;
export const EXT4_EA_INODE_FL = 0x200000;

export const EXTENT_MAGIC = 0xf30a;
/** Longest initialised extent ("ee_len <= 32768"). */
export const EXTENT_BLOCKS_MAX = 32768;

export const FT_REG_FILE = 1;
export const FT_DIR = 2;
export const FT_CHRDEV = 3;
export const FT_BLKDEV = 4;
export const FT_FIFO = 5;
export const FT_SOCK = 6;
export const FT_SYMLINK = 7;
/** The directory block's tail poses as an unused entry with this file type ("struct ext4_dir_entry_tail"). */
export const FT_DIR_CSUM = 0xde;

export const XATTR_MAGIC = 0xea020000;

/** A symlink shorter than this lies in the inode's block array ("fast symlink"). */
export const FAST_SYMLINK_BYTES = 60;

// Prefixes of attribute names that the disk format stores as a number ("Extended Attributes", e_name_index).
export const XATTR_INDEX_USER = 1;
export const XATTR_INDEX_POSIX_ACL_ACCESS = 2;
export const XATTR_INDEX_POSIX_ACL_DEFAULT = 3;
export const XATTR_INDEX_TRUSTED = 4;
export const XATTR_INDEX_SECURITY = 6;
export const XATTR_INDEX_SYSTEM = 7;
