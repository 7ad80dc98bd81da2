/**
 * Where a segment skips to the next chunk (docs/format/disk-image.md, "Groups" and "Tails"). All rules go by paths, their digests and
 * the sizes of directories, so that two versions of a layer skip before the same files, whatever lies before these.
 */
import { wordAt, type ByteString } from "../base/bytes.ts";
import { sha256OfByteString } from "../base/digest.ts";

/** A group of small files begins about every 2 MiB, whatever its neighbours are. */
export const BLOCKS_PER_GROUP_CUT = 512;

/** What groups leave over shares chunks, and begins a new one about every 2 MiB of it. */
export const BLOCKS_PER_TAIL_CUT = 512;

/** Each tail takes a multiple of this, so that it can mostly grow a little without moving the next. */
export const TAIL_UNIT_BLOCKS = 8;

/** A tail is not split for room of no more than this: it begins a chunk instead. */
export const TAIL_ROOM_BLOCKS = 40;

/**
 * A chunk that is full ends before one of the files that begin in its last blocks: a change of a few blocks then mostly stays
 * within its chunk.
 */
export const LOOK_BACK_BLOCKS = 10;

/**
 * What lies in a directory of at least so much has groups of its own where it is large, as a package among others has. In smaller
 * ones, as within a package, that would cost more than it saves.
 */
export const PARENT_BLOCKS_MIN = 512;

/**
 * A directory that begins in the second half of a chunk leaves a long tail where a group ends before it. Of such ends there are no more
 * than so many from one drawn cut to the next: where all directories are a little over half a chunk, all would be tails otherwise.
 */
export const LATE_ENDS_MAX = 2;

/** A file of at most so much, of the first blocks of a layer, goes to the group of small files. */
export const SMALL_FILE_BLOCKS = 4;

/** How many blocks of a layer are its first. An application's layer has no more, mostly; its changes are in small files. */
export const FIRST_BLOCKS = 2048;

/** What a path draws, 32 bits each. */
export interface Draw {
  readonly group: number;
  readonly tail: number;
}

/** The first two words of the SHA-256 of the path as in the archive, little-endian. */
export function drawOf(path: ByteString): Draw {
  const digest = sha256OfByteString(path);
  return { group: wordAt(digest, 0), tail: wordAt(digest, 4) };
}
