/**
 * Where a segment skips to the next chunk (docs/format/disk-image.md, "Groups" and "Tails"). All rules go by digests of
 * paths, so that two versions of a layer skip before the same files, whatever lies before these.
 */
import { wordAt, type ByteString } from "../base/bytes.ts";
import { sha256OfByteString } from "../base/digest.ts";

/** A group of small files begins about every MiB: a change moves files of its own group and tail only. */
export const BLOCKS_PER_GROUP_CUT = 256;

/** What groups leave over shares chunks, and begins a new one about every MiB of it. */
export const BLOCKS_PER_TAIL_CUT = 256;

/** Each tail takes a multiple of this, so that it can mostly grow a little without moving the next. */
export const TAIL_UNIT_BLOCKS = 8;

/**
 * A chunk that is full ends before one of the files that begin in its last blocks: a change of a few blocks then mostly stays
 * within its chunk.
 */
export const LOOK_BACK_BLOCKS = 8;

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
