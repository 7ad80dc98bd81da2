// ⚡ uses: file system, time, process, chance
/**
 * The second tier: sealed chunks in a directory of this machine, shared by all processes that are given it, without a
 * lock and without anybody who runs it. All that is to be known of a chunk is in its file: the time of access is the
 * last visit, the time of change the visit before. docs/cache.md.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { lstat, mkdir, open, rename, unlink, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

import { toHex } from "../base/bytes.ts";
import { assert, errnoOf } from "../base/error.ts";
import { CHUNK_BYTES, chunkNameOf, type ChunkName } from "../chunk/chunk.ts";
import { CacheSet } from "./_cache-set.ts";
import { removeIfThere } from "./_remove.ts";
import { removeAbandoned } from "./_temporary-files.ts";

/** The least that a cache may be bounded to: eight chunks a set. */
export const DISK_TIER_BYTES_MIN: number = 8 * 16 * CHUNK_BYTES;

/** What a look into the tier found; what it gives was compared with its name. */
export type DiskAnswer =
  | { readonly outcome: "hit"; readonly sealed: Uint8Array }
  | { readonly outcome: "miss" | "corrupt" | "failed" };

/** Where the tier is, and how large it may grow. */
export interface DiskTierOptions {
  /** The directory; what is in it besides ours is left alone. */
  readonly path: string;
  /** Bytes of chunks, DISK_TIER_BYTES_MIN at least. */
  readonly maxBytes: number;
  /** Told once that chunks cannot be read, or cannot be kept; nothing is thrown for that. Must not throw. */
  readonly onProblem?: (text: string) => void;
  /** Milliseconds since 1970; the system's if left out. */
  readonly nowMs?: () => number;
}

/** The version is in the name: what another version has is none of ours. */
const DIRECTORY = "chunks-v1";
/** Visits that follow each other faster are one, such as those of many that start from one image at once. */
const SAME_VISIT_MS = 5000;
const SET_NAMES: readonly string[] = Array.from({ length: 16 }, (_, digit) => digit.toString(16));
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The chunks of a directory. Nothing but a bug of ours is ever thrown. */
export class DiskTier {
  readonly #directory: string;
  readonly #options: DiskTierOptions;
  readonly #nowMs: () => number;
  readonly #sets: ReadonlyMap<string, CacheSet>;
  /** Part of the names of this process's temporary files. */
  readonly #session = `${process.pid}-${toHex(randomBytes(6))}`;
  /** What goes on after an answer was given. */
  readonly #afterwards: Set<Promise<void>> = new Set();
  readonly #told: Set<string> = new Set();
  #putCount = 0;
  /** Why the directory is not used. */
  #unusable: string | undefined;

  /** Opens the directory, or makes it; what processes that were killed have left is removed. */
  static async open(options: DiskTierOptions): Promise<DiskTier> {
    assert(options.maxBytes >= DISK_TIER_BYTES_MIN, "a cache is not smaller than the least");
    const tier = new DiskTier(options);
    try {
      await tier.#prepare();
    } catch (error) {
      tier.#unusable = reasonOf(error);
      tier.#tell(`it is not used: ${tier.#unusable}`);
    }
    return tier;
  }

  private constructor(options: DiskTierOptions) {
    this.#options = options;
    this.#directory = join(options.path, DIRECTORY);
    this.#nowMs = options.nowMs ?? Date.now;
    const chunkCountMax = Math.floor(options.maxBytes / CHUNK_BYTES / SET_NAMES.length);
    this.#sets = new Map(
      SET_NAMES.map((name) => [
        name,
        new CacheSet({ directory: join(this.#directory, name), chunkCountMax, nowMs: this.#nowMs }),
      ]),
    );
  }

  /** Looks for a chunk; a visit. What is not what its name says is removed. */
  async get(name: ChunkName): Promise<DiskAnswer> {
    if (this.#unusable !== undefined) return { outcome: "failed" };
    const path = this.#setOf(name).chunkPath(name);
    let file: FileHandle;
    try {
      file = await open(path, READ_FLAGS);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return { outcome: "miss" };
      // A symbolic link, or a socket: nothing that we have put there.
      if (["ELOOP", "ENXIO"].includes(errnoOf(error))) return this.#evict(path);
      return this.#failed(error);
    }
    let visitedMs: number | undefined;
    try {
      const status = await file.stat();
      if (!status.isFile() || status.size !== CHUNK_BYTES) return await this.#evict(path);
      const sealed = await readWhole(file);
      if (sealed === undefined || chunkNameOf(sealed) !== name) return await this.#evict(path);
      if (this.#nowMs() - status.atimeMs >= SAME_VISIT_MS) visitedMs = status.atimeMs;
      return { outcome: "hit", sealed };
    } catch (error) {
      return this.#failed(error);
    } finally {
      this.#afterAnswer(this.#finishRead(file, visitedMs));
    }
  }

  /** Takes a sealed chunk, for whose name the caller vouches, unless it is there. A visit. */
  async put(name: ChunkName, sealed: Uint8Array): Promise<"stored" | "failed"> {
    assert(sealed.length === CHUNK_BYTES, "a sealed chunk has 512 KiB");
    if (this.#unusable !== undefined) return "failed";
    const set = this.#setOf(name);
    const temporary = join(this.#directory, "tmp", `${this.#session}-${this.#putCount++}`);
    try {
      if (await isWhole(set.chunkPath(name))) return "stored";
      await this.#writeNew(temporary, { sealed, previousMs: await set.seenMs(name) });
      await rename(temporary, set.chunkPath(name));
    } catch (error) {
      await unlink(temporary).catch(() => undefined); // It may not exist; the failure above is what counts.
      this.#tell(`chunks cannot be kept: ${reasonOf(error)}`);
      return "failed";
    }
    await set.noteNew(name).catch((error: unknown) => {
      this.#tell(`chunks cannot be removed: ${reasonOf(error)}`);
    });
    return "stored";
  }

  /** Resolves when what was begun is done. */
  async close(): Promise<void> {
    await Promise.all(this.#afterwards);
  }

  async #prepare(): Promise<void> {
    await makeDirectories(this.#options.path);
    await makePrivate(this.#directory);
    const temporary = join(this.#directory, "tmp");
    for (const directory of [temporary, ...SET_NAMES.map((name) => join(this.#directory, name))]) {
      await makePrivate(directory);
    }
    await removeAbandoned(temporary).catch(() => undefined); // Of a disk that is read-only, chunks can be read all the same.
    for (const set of this.#sets.values()) await set.shrink().catch(() => undefined); // As above.
  }

  #setOf(name: ChunkName): CacheSet {
    const set = this.#sets.get(name.slice(0, 1));
    assert(set !== undefined, "a chunk's name begins with a hexadecimal digit");
    return set;
  }

  async #writeNew(
    path: string,
    { sealed, previousMs }: { readonly sealed: Uint8Array; readonly previousMs: number },
  ): Promise<void> {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(sealed);
      await file.utimes(this.#nowMs() / 1000, previousMs / 1000);
    } finally {
      await file.close();
    }
  }

  /** Closes a file that was read; with `visitedMs`, its last visit so far becomes the one before the last. */
  async #finishRead(file: FileHandle, visitedMs: number | undefined): Promise<void> {
    try {
      if (visitedMs !== undefined) await file.utimes(this.#nowMs() / 1000, visitedMs / 1000);
    } catch {
      // A disk that is read-only: the visit is not noted, and that is all.
    } finally {
      await file.close();
    }
  }

  async #evict(path: string): Promise<DiskAnswer> {
    await removeIfThere(path).catch(() => undefined); // What cannot be removed is found again.
    return { outcome: "corrupt" };
  }

  #failed(error: unknown): DiskAnswer {
    this.#tell(`chunks cannot be read: ${reasonOf(error)}`);
    return { outcome: "failed" };
  }

  #afterAnswer(work: Promise<void>): void {
    const noted: Promise<void> = work
      .catch(() => undefined) // Closing fails where the disk does, which reads and puts tell of.
      .finally(() => this.#afterwards.delete(noted));
    this.#afterwards.add(noted);
  }

  #tell(text: string): void {
    if (this.#told.has(text)) return;
    this.#told.add(text);
    this.#options.onProblem?.(`cache ${this.#options.path}: ${text}`);
  }
}

/**
 * Makes the directory and those above it, where they are not there. Node's own recursive mkdir never ends where a
 * directory is there that takes no others (/proc, and some that mount by themselves), and cannot be stopped.
 */
async function makeDirectories(directory: string): Promise<void> {
  if (await isMade(directory)) return;
  await makeDirectories(dirname(directory));
  if (!(await isMade(directory))) throw new UnfitDirectory(`${directory}: it cannot be made`);
}

/** Makes the directory, or finds it made; false where that above it is missing. */
async function isMade(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) === "ENOENT" && dirname(directory) !== directory) return false;
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  return true;
}

/** Makes the directory, for this user only, or finds it such. A link to one is none. */
async function makePrivate(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (!["EEXIST", "EROFS"].includes(errnoOf(error))) throw error;
  }
  const status = await lstat(directory);
  if (!status.isDirectory()) throw new UnfitDirectory(`${directory}: expected a directory, found none`);
  if ((status.mode & 0o077) === 0 && status.uid === process.geteuid?.()) return;
  throw new UnfitDirectory(`${directory}: expected a directory of this user alone, mode 0700`);
}

/** Ends in the text of a problem; it is never thrown further. */
class UnfitDirectory extends Error {}

function reasonOf(error: unknown): string {
  if (error instanceof UnfitDirectory) return error.message;
  const errno = errnoOf(error);
  if (errno === "") throw error; // No failure of the system, but a bug of ours.
  return errno;
}

/** All bytes of a chunk's file in fresh memory; `undefined` where it ends too early. */
async function readWhole(file: FileHandle): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < CHUNK_BYTES;) {
    const { bytesRead } = await file.read(bytes, at, CHUNK_BYTES - at, at);
    if (bytesRead === 0) return undefined;
    at += bytesRead;
  }
  return bytes;
}

async function isWhole(path: string): Promise<boolean> {
  try {
    const status = await lstat(path);
    return status.isFile() && status.size === CHUNK_BYTES;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
