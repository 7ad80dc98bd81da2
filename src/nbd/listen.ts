// ⚡ uses: file system, network, process
/** Where a server listens: a Unix socket of one user, or TCP. */
import { lstatSync, renameSync } from "node:fs";
import type { AddressInfo, Server } from "node:net";

import { assert, LambdaImgError } from "../base/error.ts";
import { clearStaleSocket, codeOf } from "./_unix-path.ts";

/** A place on a network. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Listens on a Unix socket that only this user may use (mode 0600); the file goes with `closeListener`. A socket
 * file that nobody listens on is replaced. Not for worker threads, which have no umask of their own.
 * @throws LISTEN_UNAVAILABLE
 */
export async function listenOnUnix(server: Server, path: string): Promise<void> {
  await clearStaleSocket(path);
  // Node makes the file inside this call, so nothing else of this thread runs under the narrow mask.
  const before = process.umask(0o177);
  try {
    server.listen({ path });
  } finally {
    process.umask(before);
  }
  await listening(server, path);
  const inode = inodeOf(path);
  if (inode !== undefined) SOCKETS.set(server, { path, inode });
}

/** The files of Unix sockets, as they were made. */
const SOCKETS: WeakMap<Server, { readonly path: string; readonly inode: bigint }> = new WeakMap();

/**
 * Stops listening, as `server.close` does. Node removes the path of a Unix socket whatever is there by then: the socket of
 * another server, where somebody removed ours and started one in its place, is put aside for that moment.
 */
export function closeListener(server: Server, onClosed?: () => void): void {
  const made = SOCKETS.get(server);
  const found = made === undefined ? undefined : inodeOf(made.path);
  if (made === undefined || found === undefined || found === made.inode) {
    server.close(onClosed);
    return;
  }
  const aside = `${made.path}.aside-${process.pid}`;
  const isAside = hasMoved(made.path, aside);
  server.close(onClosed);
  if (isAside) hasMoved(aside, made.path);
}

/** Undefined where it cannot be known: then nothing can be removed there, either. */
function inodeOf(path: string): bigint | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
  } catch {
    return undefined;
  }
}

function hasMoved(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch {
    return false; // Who may not rename there may not remove there.
  }
}

/** Listens on TCP; port 0 lets the system choose. Gives where it listens. @throws LISTEN_UNAVAILABLE */
export async function listenOnTcp(server: Server, { host, port }: TcpAddress): Promise<TcpAddress> {
  server.listen({ host, port });
  await listening(server, `${host}:${port}`);
  const found: AddressInfo | string | null = server.address();
  assert(found !== null && typeof found === "object", "a TCP listener has an address");
  return { host: found.address, port: found.port };
}

async function listening(server: Server, place: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("listening", resolve);
      server.once("error", reject);
    });
  } catch (error) {
    const message = `${place}: expected to listen there, found ${codeOf(error)}`;
    throw new LambdaImgError("LISTEN_UNAVAILABLE", message, { details: { place }, cause: error });
  }
}
