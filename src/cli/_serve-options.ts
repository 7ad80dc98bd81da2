// ⚡ uses: file system
/** The options of a server, read and checked. */
import { readFile, stat } from "node:fs/promises";

import { LambdaImgError } from "../base/error.ts";
import { SMALL_FILE_BYTES_MAX } from "../base/limit.ts";
import { GIB } from "../base/units.ts";
import type { NbdTls } from "../nbd/export.ts";
import type { TcpAddress } from "../nbd/nbd-server.ts";
import type { OverlayChoice } from "../serve/image-exports.ts";
import { isLoopback, parseTcpPlace } from "../serve/tcp-place.ts";
import type { CommonOptions } from "./context.ts";
import { parseSize } from "./parse-size.ts";

const MEMORY_BYTES_DEFAULT: number = GIB;
const FILE_BYTES_DEFAULT: number = 4 * GIB;
const TIMEOUT_SECONDS_MIN = 0.1;
const TIMEOUT_SECONDS_MAX = 3600;

/** How devices are served, whoever asks for it: `serve`, `mount` and `run`. */
export interface DeviceOptions extends CommonOptions {
  readonly overlay?: string;
  readonly overlaySize?: string;
  readonly readTimeout?: string;
  readonly onError?: string;
}

/** The command's options as commander gives them. */
export interface ServeOptions extends DeviceOptions {
  readonly socket?: string;
  readonly listen?: string;
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
  if (overlay === "") throw usage("--overlay: expected memory, none or a file, found an empty text");
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

/** Where to listen. @throws USAGE_INVALID, also for what would be open to the network without protection */
export async function parsePlace(options: ServeOptions): Promise<ServePlace> {
  const { socket, listen } = options;
  if (socket !== undefined && listen !== undefined)
    throw usage("--socket and --listen: expected one of them");
  if (socket === "") throw usage("--socket: expected a path, found an empty text");
  if (listen === undefined) {
    if (options.tlsCert !== undefined || options.tlsKey !== undefined || options.tlsCa !== undefined) {
      throw usage("--tls-cert, --tls-key and --tls-ca: they are for --listen");
    }
    return { tcp: undefined, socket, tls: undefined };
  }
  const tcp = parseTcpPlace(listen);
  const tls = await readTls(options);
  if (tls === undefined && options.insecure !== true && !isLoopback(tcp.host)) {
    throw usage(
      `--listen ${listen}: whoever reaches it could read and write: expected --tls-cert and --tls-key, or --insecure`,
    );
  }
  return { tcp, socket: undefined, tls };
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
