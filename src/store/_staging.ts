// ⚡ uses: file system, time
/**
 * Staged chunks: a writing session keeps what it stores in a directory of its own, `tmp/<session>/<chunk name>`, until
 * the barrier. A conversion that fails leaves nothing that way, and one that was killed leaves chunks that the next
 * session takes over.
 */
import { renameSync, statSync } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";

import { errnoOf } from "../base/error.ts";
import { isProcessRunning } from "../base/process-id.ts";
import { CHUNK_BYTES, chunkNameOf, type ChunkName } from "../chunk/chunk.ts";
import { chunkPath, retryWithDirectory, stagedPath, type ChunkWriterPlace } from "./chunk-writer.ts";
import { fileBytes, isChunkFile, namesIn } from "./_file.ts";

/** After so many chunks other work of the process has its turn. */
const CHUNKS_A_SPELL = 200;

/** Puts the staged chunks among the store's. Returns a name that is neither staged nor there, if any is. */
export async function publishStaged(
  place: ChunkWriterPlace,
  names: Iterable<ChunkName>,
): Promise<ChunkName | undefined> {
  const staged = new Set(await namesIn(place.sessionDirectory));
  let count = 0;
  for (const name of names) {
    if (++count % CHUNKS_A_SPELL === 0) await setImmediate();
    const path = chunkPath(place.chunksDirectory, name);
    if (staged.has(name) && moveChunk(stagedPath(place.sessionDirectory, name), path)) continue;
    if (!isChunkFile(path)) return name;
  }
  return undefined;
}

/**
 * Takes over whole, undamaged chunks of sessions whose process is gone. A process of another host can look gone: then its chunks
 * are published early, which harms nothing, and what it is still writing stays as it is.
 */
export async function adoptAbandoned(place: ChunkWriterPlace): Promise<void> {
  const sessions = dirname(place.sessionDirectory);
  for (const session of await namesIn(sessions)) {
    const directory = join(sessions, session);
    if (directory === place.sessionDirectory || isProcessRunning(Number.parseInt(session, 10))) continue;
    for (const name of await chunksIn(directory)) {
      const path = stagedPath(directory, name);
      if (await isRight(path, name)) moveChunk(path, chunkPath(place.chunksDirectory, name));
    }
    await rmdir(directory).catch(() => undefined); // Something unfinished is in it: harmless, and not ours.
  }
}

/** A machine that lost its power can leave a file of the right size with other bytes. */
async function isRight(path: string, name: ChunkName): Promise<boolean> {
  if ((await fileBytes(path)) !== CHUNK_BYTES) return false;
  try {
    return chunkNameOf(await readFile(path)) === name;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false; // Another session has taken it over.
    throw error;
  }
}

async function chunksIn(directory: string): Promise<readonly ChunkName[]> {
  try {
    return (await readdir(directory)).filter((name): name is ChunkName => /^[0-9a-f]{64}$/.test(name));
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error))) return [];
    throw error;
  }
}

/** False where the staged file is gone: another session has taken it over. */
function moveChunk(from: string, to: string): boolean {
  try {
    // Synchronous: ten times faster than a promise for each.
    retryWithDirectory(dirname(to), () => {
      renameSync(from, to);
    });
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" && statSync(from, { throwIfNoEntry: false }) === undefined) return false;
    throw error;
  }
}
