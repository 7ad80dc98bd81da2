/** In what the entries of inode tables differ between two disk images. */
import { equalBytes, viewOf } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";
import type { Ext4Inode } from "../ext4/reader.ts";

/** The inodes whose entries lie in new chunks of inode tables. */
export interface InodeCosts {
  /** Entries in use there. */
  readonly inodeCount: number;
  readonly newCount: number;
  /** Of paths that had another inode number. */
  readonly renumberedCount: number;
  /** Of paths that are gone, in whose place something else or nothing is. */
  readonly removedCount: number;
  /** Entries that differ, by the aspects that do, joined by commas: `mtime`, `size,mtime,place`. */
  readonly changes: ReadonlyMap<string, number>;
}

/** Counts entries as they come. */
export class InodeCostCounter {
  #inodeCount = 0;
  #newCount = 0;
  #renumberedCount = 0;
  #removedCount = 0;
  readonly #changes = new Map<string, number>();

  add(before: Ext4Inode | undefined, after: Ext4Inode): void {
    this.#inodeCount++;
    if (before === undefined) this.#newCount++;
    else if (before.inodeNumber !== after.inodeNumber) this.#renumberedCount++;
    else {
      const aspects = inodeChange(before, after).join(",");
      if (aspects !== "") this.#changes.set(aspects, (this.#changes.get(aspects) ?? 0) + 1);
    }
  }

  addRemoved(before: Ext4Inode): void {
    // One of several names may have gone without its inode.
    if (before.type === "dir" || before.linkCount < 2) this.#removedCount++;
  }

  finish(): InodeCosts {
    const changes = [...this.#changes].sort(
      ([left, ours], [right, theirs]) => theirs - ours || (left < right ? -1 : 1),
    );
    return {
      inodeCount: this.#inodeCount,
      newCount: this.#newCount,
      renumberedCount: this.#renumberedCount,
      removedCount: this.#removedCount,
      changes: new Map(changes),
    };
  }
}

/** `place`: where its blocks are. `attributes`: extended ones. `other`: flags, generation, blocks counted. */
type InodeAspect =
  | "type"
  | "mode"
  | "owner"
  | "size"
  | "mtime"
  | "links"
  | "place"
  | "target"
  | "device"
  | "attributes"
  | "other";

/** i_block, 60 bytes, and where the fields that ext2 had end (Documentation/filesystems/ext4 "Index Nodes"). */
const I_BLOCK_OFFSET = 0x28;
const I_BLOCK_BYTES = 60;
const GOOD_OLD_INODE_BYTES = 128;

/** The aspects in which the bytes of two entries differ; none where they are equal. */
function inodeChange(before: Ext4Inode, after: Ext4Inode): readonly InodeAspect[] {
  if (equalBytes(before.raw, after.raw)) return [];
  const aspects: InodeAspect[] = [];
  const note = (aspect: InodeAspect, differs: boolean): void => {
    if (differs) aspects.push(aspect);
  };
  note("type", before.type !== after.type);
  note("mode", before.mode !== after.mode);
  note("owner", before.uid !== after.uid || before.gid !== after.gid);
  note("size", before.sizeBytes !== after.sizeBytes);
  // All times of our disk images are the mtime.
  note("mtime", !equalTimes(before.mtime, after.mtime));
  note("links", before.linkCount !== after.linkCount);
  note(blockAspect(after), !equalBytes(blockOf(before), blockOf(after)));
  const hasOther = !equalBytes(attributesOf(before), attributesOf(after));
  note("attributes", hasOther || before.xattrBlock !== after.xattrBlock);
  return aspects.length === 0 ? ["other"] : aspects;
}

function blockAspect({ type }: Ext4Inode): InodeAspect {
  if (type === "file" || type === "dir") return "place";
  return type === "symlink" ? "target" : "device";
}

function blockOf({ raw }: Ext4Inode): Uint8Array {
  return raw.subarray(I_BLOCK_OFFSET, I_BLOCK_OFFSET + I_BLOCK_BYTES);
}

/** The attributes within the inode, behind its last field. */
function attributesOf({ raw }: Ext4Inode): Uint8Array {
  if (raw.length <= GOOD_OLD_INODE_BYTES) return raw.subarray(raw.length);
  return raw.subarray(GOOD_OLD_INODE_BYTES + viewOf(raw).getUint16(GOOD_OLD_INODE_BYTES, true));
}

function equalTimes(left: Timestamp, right: Timestamp): boolean {
  return left.seconds === right.seconds && left.nanoseconds === right.nanoseconds;
}
