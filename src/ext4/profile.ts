/**
 * This project's fixed choices for the disk image: everything that mkfs would take from the clock, from chance or
 * from the host (docs/format/disk-image.md, "Profile"). The bytes depend on layers and options alone.
 */
/** Version of the layout; it changes whenever the same input would give other bytes. */
export const LAYOUT_VERSION = 4;

/**
 * s_checksum_seed (feature metadata_csum_seed): the same in every image, so that equal metadata blocks of two
 * images are equal bytes although their UUIDs differ. The ASCII letters "l-im", little-endian.
 */
export const CHECKSUM_SEED = 0x6d692d6c;

/** s_hash_seed: the first 16 bytes of SHA-256("lambda-img directory hash seed v1"). */
export const HASH_SEED: readonly [number, number, number, number] = [
  0xdc51441e, 0x36965400, 0x11a93678, 0xe0a3ff9d,
];

/** s_volume_name, at most 16 bytes. */
export const VOLUME_NAME = "lambda-img";

/** s_log_groups_per_flex: 16 groups share an allocation area once the kernel writes. */
export const LOG_GROUPS_PER_FLEX = 4;

/** Chunks are this many blocks; regions that are to be shared begin on such a boundary. */
export const CHUNK_BLOCKS = 128;

/**
 * s_uuid, in hexadecimal: the first 16 bytes of SHA-256("lambda-img volume v1") as an RFC 9562 UUID of version 8. One
 * for all images: with one of its own, an image that differs from another in a file's bytes alone would differ in its
 * first chunk, too. Whoever needs another runs `tune2fs -U` on an exported image, which changes nothing else.
 */
export const VOLUME_UUID = "09caccd92772897dacde12e1fcc04355";
