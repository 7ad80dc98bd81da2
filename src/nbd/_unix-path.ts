// ⚡ uses: file system, network, process
/** Makes room for a Unix socket: what nobody listens on is removed, all else is left alone. */
import { link, lstat, rename, rm } from "node:fs/promises";
import { connect } from "node:net";

import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { SOCKET_PATH_BYTES_MAX } from "./_limit.ts";

/**
 * Removes a socket file that is left over from a process that is gone.
 * @throws LISTEN_UNAVAILABLE where somebody listens there, something else lies there, or no socket can be there
 */
export async function clearStaleSocket(path: string): Promise<void> {
  if (new TextEncoder().encode(path).length > SOCKET_PATH_BYTES_MAX) {
    // The system would cut it, and listen somewhere else.
    throw occupied(path, `more than ${SOCKET_PATH_BYTES_MAX} bytes`);
  }
  const found = await inodeOf(path);
  if (found === undefined) return;
  if (!found.isSocket) throw occupied(path, "a file that is no socket");
  if (await isListening(path)) throw occupied(path, "a socket that somebody listens on");
  await removeInode(path, found.inode);
}

/** Between the question and now another server may have replaced the file: looks at what was really moved. */
async function removeInode(path: string, inode: bigint): Promise<void> {
  const aside = `${path}.stale-${process.pid}`;
  try {
    await rename(path, aside);
    const moved = await inodeOf(aside);
    if (moved?.inode !== inode) {
      await link(aside, path);
      throw occupied(path, "a socket that somebody has just made");
    }
    await rm(aside);
  } catch (error) {
    // Gone by itself: that is as good. What stands there instead, if anything, listening will find.
    if (codeOf(error) === "ENOENT") return;
    await rm(aside, { force: true });
    throw isLambdaImgError(error) ? error : unusable(path, error);
  }
}

async function inodeOf(path: string): Promise<{ inode: bigint; isSocket: boolean } | undefined> {
  try {
    const found = await lstat(path, { bigint: true });
    return { inode: found.ino, isSocket: found.isSocket() };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw unusable(path, error);
  }
}

/** False only where the kernel says that there is no listener. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => {
      resolve(codeOf(error) !== "ECONNREFUSED" && codeOf(error) !== "ENOENT");
    });
  });
}

/** The system's name for an error. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}

function unusable(path: string, error: unknown): LambdaImgError {
  const message = `${path}: expected a path for a socket, found ${codeOf(error)}`;
  return new LambdaImgError("LISTEN_UNAVAILABLE", message, { details: { path }, cause: error });
}

function occupied(path: string, found: string): LambdaImgError {
  return new LambdaImgError(
    "LISTEN_UNAVAILABLE",
    `${path}: expected a free path for a socket, found ${found}`,
    {
      details: { path },
    },
  );
}
