// ⚡ uses: network, process
/** Where a server listens: a Unix socket of one user, or TCP. */
import type { AddressInfo, Server } from "node:net";

import { assert, LambdaImgError } from "../base/error.ts";
import { clearStaleSocket, codeOf } from "./_unix-path.ts";

/** A place on a network. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Listens on a Unix socket that only this user may use (mode 0600); the file goes when the server is closed. A socket
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
