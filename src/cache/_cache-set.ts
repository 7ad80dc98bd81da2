// ⚡ uses: file system, time
/**
 * A sixteenth of the disk tier: the chunks whose names begin with one digit, in a directory of their own, with a bound of
 * their own. Chunk names are digests, so that the sixteen fill up alike.
 */
import { lstatSync } from "node:fs";
import { lstat, lutimes, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

import { errnoOf } from "../base/error.ts";
import { lru2Victims, recentMaxOf, type Visits } from "../base/lru-k.ts";
import type { ChunkName } from "../chunk/chunk.ts";
import { removeIfThere } from "./_remove.ts";

/** Marks the empty file that is left of a chunk that was dropped: its time of access is the chunk's last visit. */
const SEEN = ".seen";
/** Part of the bound that is made free at a time, so that the directory is not looked through for every chunk. */
const SHRINK_PART = 16;
/** Part of the bound that this process puts before it counts again; others may be putting, too. */
const COUNT_PART = 64;
/** Files looked at in one go. */
const LOOKS_A_SPELL = 64;

interface FoundFile extends Visits {
  readonly name: string;
}

/** One directory of chunks. Several processes may use it at once; each call may throw errors of the system. */
export class CacheSet {
  readonly #directory: string;
  readonly #chunkCountMax: number;
  readonly #nowMs: () => number;
  /** Chunks that may be put before they are counted. */
  #left = 0;
  #shrinking: Promise<void> | undefined;

  constructor(options: {
    readonly directory: string;
    readonly chunkCountMax: number;
    readonly nowMs: () => number;
  }) {
    this.#directory = options.directory;
    this.#chunkCountMax = options.chunkCountMax;
    this.#nowMs = options.nowMs;
  }

  /** The file of a chunk. */
  chunkPath(name: ChunkName): string {
    return join(this.#directory, name);
  }

  /** The last visit of a chunk that was dropped, in milliseconds since 1970; 0 where nothing is known. */
  async seenMs(name: ChunkName): Promise<number> {
    const status = await lstat(join(this.#directory, `${name}${SEEN}`)).catch(ignoreAbsent);
    return status?.isFile() === true ? status.atimeMs : 0;
  }

  /** A chunk has come; where there are too many now, others go. */
  async noteNew(name: ChunkName): Promise<void> {
    this.#left--;
    // A mark that cannot be removed is none of ours, and the bound does not hang on it.
    await removeIfThere(join(this.#directory, `${name}${SEEN}`)).catch(() => undefined);
    if (this.#left < 0) await this.shrink();
  }

  /** Counts what is there, and drops what is too much. */
  shrink(): Promise<void> {
    this.#shrinking ??= this.#shrink().finally(() => {
      this.#shrinking = undefined;
    });
    return this.#shrinking;
  }

  async #shrink(): Promise<void> {
    const files = await readdir(this.#directory);
    const chunks = files.filter((name) => /^[0-9a-f]{64}$/.test(name));
    const max = this.#chunkCountMax;
    let count = chunks.length;
    /** One file that stays keeps none of the others; it is told of in the end. */
    const failures: unknown[] = [];
    if (count > max) {
      const target = max - Math.max(1, Math.floor(max / SHRINK_PART));
      const found = await this.#look(chunks);
      // Of the files that were there some may have gone since: another process drops, too.
      const excess = found.length > max ? found.length - target : 0;
      const victims = lru2Victims(found, { count: excess, recentMax: recentMaxOf(max) });
      for (const victim of victims) await this.#drop(victim).catch((error: unknown) => failures.push(error));
      count = found.length - victims.length + failures.length;
      await this.#forget(files.filter((name) => name.endsWith(SEEN)));
    }
    this.#left = Math.min(max - count, Math.max(1, Math.floor(max / COUNT_PART)));
    if (failures.length > 0) throw failures[0];
  }

  /** Leaves a mark, so that a chunk which is asked for again soon is not taken for a new one. */
  async #drop({ name, last }: FoundFile): Promise<void> {
    const path = join(this.#directory, `${name}${SEEN}`);
    try {
      await (await open(path, "wx", 0o600)).close();
      await lutimes(path, last / 1000, this.#nowMs() / 1000);
    } catch {
      // Where there is no room for a mark there shall be some soon, and the mark is only a hint.
    }
    await removeIfThere(join(this.#directory, name));
  }

  /** Keeps as many marks as chunks: the latest. */
  async #forget(marks: readonly string[]): Promise<void> {
    if (marks.length <= this.#chunkCountMax) return;
    const found = await this.#look(marks);
    const excess = Math.max(0, found.length - this.#chunkCountMax);
    // Of a mark, the time of change is when the chunk was dropped.
    const oldest = found.toSorted((left, right) => left.previous - right.previous).slice(0, excess);
    for (const { name } of oldest) {
      await removeIfThere(join(this.#directory, name)).catch(() => undefined); // It will be among the oldest again.
    }
  }

  /** The times of files that are still there, in byte order of their names. What is no file is removed if it can be. */
  async #look(names: readonly string[]): Promise<readonly FoundFile[]> {
    const found: FoundFile[] = [];
    const sorted = names.toSorted((left, right) => (left < right ? -1 : 1));
    for (const [index, name] of sorted.entries()) {
      // Synchronous, in spells: ten times faster than a promise for each, and nobody waits for long.
      if ((index + 1) % LOOKS_A_SPELL === 0) await setImmediate();
      const path = join(this.#directory, name);
      const status = lstatSync(path, { throwIfNoEntry: false });
      if (status?.isFile() === true) found.push({ name, last: status.atimeMs, previous: status.mtimeMs });
      else if (status !== undefined) await removeIfThere(path).catch(() => undefined);
    }
    return found;
  }
}

function ignoreAbsent(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
}
