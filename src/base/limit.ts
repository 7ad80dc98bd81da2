/** Every limit on what comes from outside, by name; docs/specification.md lists them. */
import { GIB, KIB, MIB, TIB } from "./units.ts";

/** A JSON document of an image: index, manifest, config. The distribution spec asks for at least 4 MiB. */
export const DOCUMENT_BYTES_MAX: number = 8 * MIB;
/** Image indexes inside image indexes. */
export const INDEX_DEPTH_MAX = 8;
/** Descriptors looked at while one image is chosen from indexes. */
export const INDEX_DESCRIPTORS_MAX = 10_000;
/** Layers of one image; container engines stop at 127. */
export const LAYER_COUNT_MAX = 1000;
/** Uncompressed bytes of one layer's tar, unless the user raises it: what stops a decompression bomb. */
export const LAYER_BYTES_MAX_DEFAULT: number = 128 * GIB;
/** Entries of an archive that holds an image (oci-archive, docker-archive). */
export const ARCHIVE_ENTRY_COUNT_MAX = 100_000;

/** The header of one gzip member, whose name and comment may have any length. */
export const GZIP_HEADER_BYTES_MAX: number = 256 * KIB;
/** The window of a zstd frame: what libzstd takes unless it is told otherwise (ZSTD_WINDOWLOG_LIMIT_DEFAULT). */
export const ZSTD_WINDOW_BYTES_MAX: number = 128 * MIB;
/** One PAX extended header, GNU long name or sparse map in a tar: beyond any path with any xattrs. */
export const TAR_EXTENSION_BYTES_MAX: number = 16 * MIB;
/** Regions of one sparse file. */
export const SPARSE_REGION_COUNT_MAX = 1_000_000;
/** Bytes of a path in a tar; longer than the kernel's PATH_MAX, since trees can be deeper than that. */
export const PATH_BYTES_MAX: number = 1 * MIB;
/** Bytes of one name in a directory (ext4 and every other Linux file system). */
export const NAME_BYTES_MAX = 255;
/** Symbolic links followed while one path is resolved (Linux MAXSYMLINKS). */
export const SYMLINK_FOLLOW_MAX = 40;
/** Bytes of a symbolic link's target (Linux PATH_MAX less the NUL). */
export const SYMLINK_TARGET_BYTES_MAX = 4095;
/** Bytes of one extended attribute's value (Linux XATTR_SIZE_MAX). */
export const XATTR_VALUE_BYTES_MAX: number = 64 * KIB;
/** Inodes of one tree: what a process with Node's usual heap of 4 GiB can hold. */
export const TREE_INODE_COUNT_MAX = 4_000_000;
/** Bytes of the entries of all layers of an image: names, targets, attributes, and ENTRY_BYTES for each. */
export const ENTRIES_BYTES_MAX: number = 1536 * MIB;
/** What an entry is taken to cost in memory besides its names and attributes. */
export const ENTRY_BYTES = 384;

/** Names of one inode (ext4 EXT4_LINK_MAX). */
export const LINK_COUNT_MAX = 65_000;
/** Bytes of one file: ext4 counts its logical blocks in 32 bits, and the last number means "none". */
export const FILE_BYTES_MAX: number = 16 * TIB - 4 * KIB;
/** Bytes of a disk image: its group descriptors must fit chunk 0 (docs/format/disk-image.md). */
export const DISK_BYTES_MAX: number = 16_256 * 128 * MIB;

/** The record of an image inside a manifest: a config (DOCUMENT_BYTES_MAX) and what its encoding may add. */
export const IMAGE_RECORD_BYTES_MAX: number = 16 * MIB;
/** One manifest: 68 bytes for each chunk of the largest disk image (283 MB), and the image record. */
export const MANIFEST_BYTES_MAX: number = 320 * MIB;
/** One record of a conversion: the entries of a layer (ENTRIES_BYTES_MAX) take less when they are encoded. */
export const RECORD_BYTES_MAX: number = 1536 * MIB;
/** UTF-8 bytes of an image's name in a store: a domain name, a repository of 255, a tag of 128, a digest. */
export const IMAGE_NAME_BYTES_MAX = 1024;
/** A key file or one of the store's own small files (store.json, root.json, a ref). */
export const SMALL_FILE_BYTES_MAX: number = 64 * KIB;
/** Chunks of a trace: 4.9 GiB, more than any start should read. */
export const TRACE_CHUNK_COUNT_MAX = 10_000;
/** One trace as a record: TRACE_CHUNK_COUNT_MAX differences of five bytes at most, and what seals them. */
export const TRACE_BYTES_MAX: number = 64 * KIB;
