// ⚡ uses: Buffer, network
/** Which proxy a request takes: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go's programs, and so Docker, read them. */
import { BlockList, isIP } from "node:net";

import { LambdaImgError } from "../base/error.ts";
import { isLoopback } from "./_loopback.ts";

/** Environment variables. */
export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL; `undefined` where it is reached directly. Loopback addresses always are.
 * @throws USAGE_INVALID where the variable is no http or https URL
 */
export function proxyFor(url: URL, variables: Variables): URL | undefined {
  if (isLoopback(url)) return undefined;
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const value = read(variables, name);
  if (value === "" || isExcluded(url, read(variables, "NO_PROXY"))) return undefined;
  const text = value.includes("://") ? value : `http://${value}`;
  const proxy = URL.canParse(text) ? new URL(text) : undefined;
  if (proxy !== undefined && /^https?:$/.test(proxy.protocol) && proxy.hostname !== "") return proxy;
  // The value may hold a password: it is not shown.
  throw new LambdaImgError(
    "USAGE_INVALID",
    `${name}: expected the URL of an HTTP proxy (http:// or https://)`,
  );
}

/** The Proxy-Authorization field's value, where the proxy's URL has a name and password. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === "" && proxy.password === "") return undefined;
  const login = `${decode(proxy.username)}:${decode(proxy.password)}`;
  return `Basic ${Buffer.from(login, "utf8").toString("base64")}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // A percent sign that escapes nothing stands for itself.
  }
}

function read(variables: Variables, name: string): string {
  const lower = variables[name.toLowerCase()] ?? "";
  return (lower === "" ? (variables[name] ?? "") : lower).trim();
}

/** `*`, `example.com` (with its subdomains), `.example.com` (only those), addresses, `198.51.100.0/24`; with `:port`. */
function isExcluded(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return list
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry === "*" || (entry !== "" && matches(entry, host, port)));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry.includes("/")) return isInRange(entry, host);
  const withPort = /^(\[[^\]]*\]|[^:]*):([0-9]+)$/.exec(entry);
  const name = (withPort?.[1] ?? entry).replace(/^\[|\]$/g, "").replace(/^\*(?=\.)/, "");
  if (withPort !== null && withPort[2] !== port) return false;
  if (isIP(host) !== 0) return host === name;
  return name.startsWith(".") ? host.endsWith(name) : host === name || host.endsWith(`.${name}`);
}

function isInRange(entry: string, host: string): boolean {
  const [net = "", bits = ""] = entry.split("/");
  const family = isIP(host) === 6 ? "ipv6" : "ipv4";
  if (isIP(host) === 0 || isIP(net) !== isIP(host) || !/^[0-9]{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === "ipv4" ? 32 : 128)) return false;
  const range = new BlockList();
  range.addSubnet(net, Number(bits), family);
  return range.check(host, family);
}
