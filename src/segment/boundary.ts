/**
 * What begins and ends between a file and the one before it (docs/format/disk-image.md, "Boundaries"): a segment keeps what
 * belongs together, such as a package, in as few chunks as it can, and goes by directories to find it.
 */
import type { ByteString } from "../base/bytes.ts";
import { namesOf } from "../tree/path-class.ts";

/** Between a file and the one before. Blocks are those of rests: whole chunks of files stand alone. */
export interface Boundary {
  /** How many directories both files lie in: the leading names of their paths that are the same. */
  readonly depth: number;
  /** Blocks of what ends here: of the topmost directory that the file before lies in and this one does not, or of that file alone. */
  readonly endedBlocks: number;
  /** Blocks so far, the file's own among them, of the innermost directory that both lie in. */
  readonly parentBlocks: number;
  /** Whether a directory begins here, and not a file alone. */
  readonly beginsDirectory: boolean;
}

/** Takes the files of a row one after another. */
export class Boundaries {
  /** The names of the last file's path. */
  #names: readonly string[] = [];
  /** By index of a name: how many blocks came before it began. */
  readonly #starts: number[] = [];
  #blocks = 0;
  /** The last path up to its last slash, where its last name is all that is behind it. */
  #directory: string | undefined;

  /** The next file, whose rest has so many blocks. */
  add(path: ByteString, blockCount: number): Boundary {
    const nameAt = path.lastIndexOf("/") + 1;
    // Nearly every file lies in the directory of the one before: no need to take its path apart.
    const isPlain = hasPlainName(path, nameAt);
    const isSibling = isPlain && nameAt === this.#directory?.length && path.startsWith(this.#directory);
    const names = isSibling ? this.#names : namesOrEmptyOne(path);
    const depth = isSibling ? names.length - 1 : sharedNames(this.#names, names);
    const endedBlocks = this.#blocks - (this.#starts[depth] ?? 0);
    this.#starts.length = depth;
    for (let i = depth; i < names.length; i++) this.#starts.push(this.#blocks);
    this.#names = names;
    if (!isSibling) this.#directory = isPlain ? path.slice(0, nameAt) : undefined;
    this.#blocks += blockCount;
    return {
      depth,
      endedBlocks,
      parentBlocks: this.#blocks - (this.#starts[depth - 1] ?? 0),
      beginsDirectory: depth < names.length - 1,
    };
  }
}

/** The names of a path; of one without names an empty one. */
function namesOrEmptyOne(path: ByteString): readonly string[] {
  const names = namesOf(path);
  return names.length === 0 ? [""] : names;
}

/** Whether what follows a path's last slash is a name. */
function hasPlainName(path: ByteString, nameAt: number): boolean {
  return nameAt < path.length && !(path.length === nameAt + 1 && path[nameAt] === ".");
}

/** How many names at their start two paths share, their last names aside. */
function sharedNames(left: readonly string[], right: readonly string[]): number {
  const count = Math.min(left.length, right.length) - 1;
  for (let i = 0; i < count; i++) if (left[i] !== right[i]) return i;
  return Math.max(count, 0);
}
