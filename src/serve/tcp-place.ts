// ⚡ uses: network
/** Where a server may listen on TCP. */
import { BlockList, isIP } from "node:net";

import { LambdaImgError } from "../base/error.ts";
import type { TcpAddress } from "../nbd/listen.ts";

/**
 * Reads what `option` says: `HOST:PORT`, or `[ADDRESS]:PORT` for IPv6; port 0 lets the system choose.
 * @throws USAGE_INVALID
 */
export function parseTcpPlace(text: string, option: string): TcpAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const isHost = match?.[1] === undefined ? /^[A-Za-z0-9._-]{1,253}$/.test(host) : isIP(host) === 6;
  if (match === null || !isHost || port > 65_535) {
    throw new LambdaImgError(
      "USAGE_INVALID",
      `${option}: expected HOST:PORT or [IPv6 address]:PORT, found ${JSON.stringify(text.slice(0, 300))}`,
    );
  }
  return { host, port };
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** True where nobody outside of this machine can come; of names, only `localhost` is known to be such a place. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === "localhost";
  return LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

/** The address as a URI has it: IPv6 in brackets. */
export function showTcpPlace({ host, port }: TcpAddress): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}
