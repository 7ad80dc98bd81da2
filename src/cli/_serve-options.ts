// ⚡ uses: file system
/** The options of a server, read and checked. */
import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";

import { DISK_TIER_BYTES_MIN } from "../cache/disk-tier.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { LambdaImgError } from "../base/error.ts";
import { SMALL_FILE_BYTES_MAX } from "../base/limit.ts";
import { GIB, MIB, showBytes } from "../base/units.ts";
import type { NbdTls } from "../nbd/export.ts";
import type { TcpAddress } from "../nbd/listen.ts";
import type { OverlayChoice, PrefetchChoice } from "../serve/image-exports.ts";
import { isLoopback, parseTcpPlace } from "../serve/tcp-place.ts";
import type { CommonOptions } from "./context.ts";
import { parseSize } from "./parse-size.ts";

const MEMORY_BYTES_DEFAULT: number = GIB;
const FILE_BYTES_DEFAULT: number = 4 * GIB;
const OPEN_BYTES_DEFAULT: number = 256 * MIB;
/** Below this, reads of many files at once would open the same chunks again and again. */
const OPEN_BYTES_MIN = 16 * CHUNK_BYTES;
const CACHE_BYTES_DEFAULT: number = 4 * GIB;
const PRIME_CHUNKS_MAX = 64;
const TIMEOUT_SECONDS_MIN = 0.1;
const TIMEOUT_SECONDS_MAX = 3600;

/** How devices are served, whoever asks for it: `serve`, `mount` and `run`. */
export interface DeviceOptions extends CommonOptions {
  readonly overlay?: string;
  readonly overlaySize?: string;
  readonly readTimeout?: string;
  readonly onError?: string;
  readonly memory?: string;
  readonly cache?: string;
  readonly cacheSize?: string;
  readonly record?: boolean;
  /** False with `--no-prefetch`. */
  readonly prefetch?: boolean;
  readonly prime?: string;
}

/** The command's options as commander gives them. */
export interface ServeOptions extends DeviceOptions {
  readonly socket?: string;
  readonly listen?: string;
  readonly status?: string;
  readonly pin?: boolean;
  readonly insecure?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

/** Where and how the server is reached. */
export interface ServePlace {
  /** Undefined: a Unix socket, at `socket` or at a place of our choice. */
  readonly tcp: TcpAddress | undefined;
  readonly socket: string | undefined;
  readonly tls: NbdTls | undefined;
}

/** What `--overlay` and `--overlay-size` say. @throws USAGE_INVALID, SIZE_INVALID */
export function parseOverlay(
  { overlay = "memory", overlaySize }: DeviceOptions,
  images: readonly string[],
): OverlayChoice {
  const sizeBytes = overlaySize === undefined ? undefined : parseSize(overlaySize, "--overlay-size");
  if (overlay === "none") {
    if (sizeBytes !== undefined) throw usage("--overlay-size: --overlay none has no size");
    return { kind: "none" };
  }
  if (overlay === "memory") return { kind: "memory", maxBytes: sizeBytes ?? MEMORY_BYTES_DEFAULT };
  if (images.length !== 1) {
    throw usage(`--overlay ${overlay}: a file is for one image: expected one, found ${images.length}`);
  }
  return { kind: "file", path: overlay, maxBytes: sizeBytes ?? FILE_BYTES_DEFAULT };
}

/** What `--read-timeout` and `--on-error` say. @throws USAGE_INVALID */
export function parseReading({ readTimeout = "30", onError = "eio" }: DeviceOptions): {
  readonly timeoutMs: number;
  readonly onError: "eio" | "block";
} {
  const seconds = /^[0-9]{1,4}(?:\.[0-9]{1,3})?$/.test(readTimeout) ? Number(readTimeout) : Number.NaN;
  if (!(seconds >= TIMEOUT_SECONDS_MIN && seconds <= TIMEOUT_SECONDS_MAX)) {
    throw usage(
      `--read-timeout: expected seconds from ${TIMEOUT_SECONDS_MIN} to ${TIMEOUT_SECONDS_MAX}, found ${JSON.stringify(readTimeout)}`,
    );
  }
  if (onError !== "eio" && onError !== "block") {
    throw usage(`--on-error: expected eio or block, found ${JSON.stringify(onError)}`);
  }
  return { timeoutMs: Math.round(seconds * 1000), onError };
}

/** Where chunks are kept besides the store. */
export interface TierChoice {
  readonly memoryBytes: number;
  readonly cache: { readonly path: string; readonly maxBytes: number } | undefined;
}

/** What `--memory`, `--cache` and `--cache-size` say. @throws USAGE_INVALID, SIZE_INVALID */
export function parseTiers({ memory, cache = "none", cacheSize }: DeviceOptions): TierChoice {
  const memoryBytes = memory === undefined ? OPEN_BYTES_DEFAULT : parseSize(memory, "--memory");
  checkLeast(memoryBytes, OPEN_BYTES_MIN, "--memory");
  const maxBytes = cacheSize === undefined ? CACHE_BYTES_DEFAULT : parseSize(cacheSize, "--cache-size");
  checkLeast(maxBytes, DISK_TIER_BYTES_MIN, "--cache-size");
  if (cache !== "none") return { memoryBytes, cache: { path: resolve(cache), maxBytes } };
  if (cacheSize !== undefined) throw usage("--cache-size: it is for --cache DIR");
  return { memoryBytes, cache: undefined };
}

function checkLeast(sizeBytes: number, leastBytes: number, option: string): void {
  if (sizeBytes >= leastBytes) return;
  throw usage(`${option}: expected at least ${showBytes(leastBytes)}, found ${showBytes(sizeBytes)}`);
}

/** What `--record`, `--no-prefetch` and `--prime` say. @throws USAGE_INVALID */
export function parsePrefetch(
  { record = false, prefetch = true, prime = "0" }: DeviceOptions,
  images: readonly string[],
): PrefetchChoice {
  if (record && images.length !== 1) {
    throw usage(`--record: it is for one image: expected one, found ${images.length}`);
  }
  const primeChunks = /^[0-9]{1,2}$/.test(prime) ? Number(prime) : Number.NaN;
  if (!(primeChunks <= PRIME_CHUNKS_MAX)) {
    throw usage(`--prime: expected chunks from 0 to ${PRIME_CHUNKS_MAX}, found ${JSON.stringify(prime)}`);
  }
  return { isReplaying: prefetch, isRecording: record, primeChunks };
}

/** What `--pin` says. @throws USAGE_INVALID */
export function parsePin({ pin = false }: ServeOptions, images: readonly string[]): boolean {
  if (pin && images.length === 0) throw usage("--pin: expected the images that it is for, found none");
  return pin;
}

/** Where to listen. @throws USAGE_INVALID, also for what would be open to the network without protection */
export async function parsePlace(options: ServeOptions): Promise<ServePlace> {
  const { socket, listen } = options;
  if (socket !== undefined && listen !== undefined)
    throw usage("--socket and --listen: expected one of them");
  if (listen === undefined) {
    if (options.tlsCert !== undefined || options.tlsKey !== undefined || options.tlsCa !== undefined) {
      throw usage("--tls-cert, --tls-key and --tls-ca: they are for --listen");
    }
    return { tcp: undefined, socket, tls: undefined };
  }
  const tcp = parseTcpPlace(listen, "--listen");
  const tls = await readTls(options);
  if (tls === undefined && options.insecure !== true && !isLoopback(tcp.host)) {
    throw usage(
      `--listen ${listen}: whoever reaches it could read and write: expected --tls-cert and --tls-key, or --insecure`,
    );
  }
  return { tcp, socket: undefined, tls };
}

/** Where numbers are told. */
export type StatusPlace =
  { readonly kind: "tcp"; readonly address: TcpAddress } | { readonly kind: "socket"; readonly path: string };

/** What `--status` says: a path has a `/` in it. @throws USAGE_INVALID, also for what would be open to the network */
export function parseStatus({ status, insecure }: ServeOptions): StatusPlace | undefined {
  if (status === undefined) return undefined;
  if (status.includes("/")) return { kind: "socket", path: resolve(status) };
  const address = parseTcpPlace(status, "--status");
  if (insecure === true || isLoopback(address.host)) return { kind: "tcp", address };
  throw usage(`--status ${status}: whoever reaches it could read the numbers: expected --insecure`);
}

async function readTls({ tlsCert, tlsKey, tlsCa }: ServeOptions): Promise<NbdTls | undefined> {
  if (tlsCert === undefined && tlsKey === undefined && tlsCa === undefined) return undefined;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw usage("--tls-cert and --tls-key: expected both of them");
  }
  return {
    certificate: await readPem(tlsCert, "--tls-cert"),
    privateKey: await readPem(tlsKey, "--tls-key"),
    ...(tlsCa === undefined ? {} : { clientAuthorities: await readPem(tlsCa, "--tls-ca") }),
    isRequired: true,
  };
}

async function readPem(path: string, option: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > SMALL_FILE_BYTES_MAX)
      throw usage(`${option}: ${path}: expected a PEM file, found ${size} bytes`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof LambdaImgError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    throw usage(`${option}: ${path}: cannot read it: ${code}`);
  }
}

function usage(message: string): LambdaImgError {
  return new LambdaImgError("USAGE_INVALID", message);
}
