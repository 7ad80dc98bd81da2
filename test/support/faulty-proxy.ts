// ⚡ uses: Buffer, network
/** Servers on loopback that do what a test tells them: a registry in memory, and faults before whatever answers. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import path from "node:path";

/** A request as a server saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** A running server. */
export interface LoopbackServer {
  readonly port: number;
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** `http://127.0.0.1:PORT` or https. */
  readonly origin: string;
  readonly requests: SeenRequest[];
  readonly server: http.Server;
  close(): Promise<void>;
}

/** A certificate and its key, PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

export type Handler = (
  request: SeenRequest,
  response: ServerResponse,
  use: { readonly message: IncomingMessage },
) => void | Promise<void>;

/** Starts an HTTP server, or an HTTPS one where there is a certificate. */
export async function startServer(
  handler: Handler,
  certificate?: ServerCertificate,
): Promise<LoopbackServer> {
  const requests: SeenRequest[] = [];
  const listener = (message: IncomingMessage, response: ServerResponse): void => {
    const pieces: Uint8Array[] = [];
    message.on("data", (piece: Uint8Array) => pieces.push(piece));
    message.on("error", () => undefined);
    message.on("end", () => {
      const { method = "", url = "", headers } = message;
      const request = { method, url, headers, body: Buffer.concat(pieces).toString() };
      requests.push(request);
      void handler(request, response, { message });
    });
  };
  const server =
    certificate === undefined ? http.createServer(listener) : https.createServer(certificate, listener);
  server.on("clientError", (_error, socket) => socket.destroy());
  server.on("tlsClientError", () => undefined);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  return {
    ...{ port, host, requests, server },
    origin: `${certificate === undefined ? "http" : "https"}://${host}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** What stands behind the faults. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
}

export type Upstream = (request: SeenRequest) => Answer | Promise<Answer>;

/** What goes wrong with one answer. */
export type Fault =
  /** The connection breaks after so many bytes of the body. */
  | { readonly kind: "cut"; readonly afterBytes: number }
  /** Nothing more comes after so many bytes of the body; -1: not even a head. */
  | { readonly kind: "stall"; readonly afterBytes: number }
  /** A byte of the body is another. */
  | { readonly kind: "flip"; readonly offsetBytes: number }
  /** Members of the answer are replaced; a header of "" is left out. */
  | {
      readonly kind: "replace";
      readonly status?: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string | Uint8Array;
    };

/** Starts a server that hands requests on, with the fault that `choose` gives for each. */
export function startFaultyProxy(
  upstream: Upstream,
  choose: (request: SeenRequest, index: number) => Fault | undefined,
  certificate?: ServerCertificate,
): Promise<LoopbackServer> {
  let count = 0;
  return startServer(async (request, response) => {
    const fault = choose(request, count++);
    const answer = apply(fault, await upstream(request));
    if (fault?.kind === "stall" && fault.afterBytes < 0) return;
    response.writeHead(answer.status, answer.headers);
    if (fault?.kind !== "cut" && fault?.kind !== "stall") {
      response.end(answer.bytes);
      return;
    }
    response.flushHeaders();
    response.write(answer.bytes.subarray(0, fault.afterBytes), () => {
      if (fault.kind === "cut") response.destroy();
    });
    if (fault.afterBytes === 0 && fault.kind === "cut") response.destroy();
  }, certificate);
}

function apply(fault: Fault | undefined, answer: Answer): Answer {
  if (fault?.kind === "flip") {
    const bytes = Uint8Array.from(answer.bytes);
    bytes[fault.offsetBytes] = (bytes[fault.offsetBytes] ?? 0) ^ 1;
    return { ...answer, bytes };
  }
  if (fault?.kind !== "replace") return answer;
  const bytes = fault.body === undefined ? answer.bytes : Buffer.from(fault.body);
  const length: Record<string, string> =
    fault.body === undefined ? {} : { "content-length": String(bytes.length) };
  const headers = Object.entries({ ...answer.headers, ...length, ...fault.headers });
  return {
    status: fault.status ?? answer.status,
    headers: Object.fromEntries(headers.filter(([, value]) => value !== "")),
    bytes,
  };
}

/** A registry that has the images of a layout, under any repository name; tags are the layout's, or `latest`. */
export function layoutRegistry(directory: string): Upstream {
  const read = (digest: string): Uint8Array | undefined => {
    try {
      return readFileSync(path.join(directory, "blobs", ...digest.split(":")));
    } catch {
      return undefined; // The layout has no such file: the registry has none.
    }
  };
  return (request) => {
    if (request.url === "/v2/")
      return { status: 200, headers: { "content-length": "2" }, bytes: Buffer.from("{}") };
    const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(request.url);
    if (match === null) return notFound("NAME_UNKNOWN");
    const [, , kind, version = ""] = match;
    if (kind === "blobs") return ranged(read(version), request.headers.range);
    const index = JSON.parse(readFileSync(path.join(directory, "index.json"), "utf8")) as LayoutIndex;
    const tagged = index.manifests.find(
      ({ annotations }) => (annotations?.["org.opencontainers.image.ref.name"] ?? "latest") === version,
    );
    const bytes = read(version.includes(":") ? version : (tagged?.digest ?? ""));
    if (bytes === undefined) return notFound("MANIFEST_UNKNOWN");
    const { mediaType = "" } = JSON.parse(Buffer.from(bytes).toString()) as { mediaType?: string };
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const headers = {
      "content-type": mediaType,
      "docker-content-digest": digest,
      "content-length": String(bytes.length),
    };
    return { status: 200, headers, bytes };
  };
}

interface LayoutIndex {
  readonly manifests: readonly {
    readonly digest: string;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

/** The answer to a request for content, with or without a range. */
export function ranged(bytes: Uint8Array | undefined, range: string | undefined): Answer {
  if (bytes === undefined) return notFound("BLOB_UNKNOWN");
  const from = Number(/^bytes=([0-9]+)-$/.exec(range ?? "")?.[1] ?? "0");
  const rest = bytes.subarray(from);
  const length = { "content-length": String(rest.length) };
  if (range === undefined) return { status: 200, headers: length, bytes };
  const span = { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  return { status: 206, headers: { ...length, ...span }, bytes: rest };
}

function notFound(code: string): Answer {
  const bytes = Buffer.from(
    JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace("_", " ") }] }),
  );
  return { status: 404, headers: { "content-length": String(bytes.length) }, bytes };
}

/** Time and chance for tests: no wait takes time; the clock moves by what was waited, and by hand. */
export class TestPace {
  readonly waitsMs: number[] = [];
  nowMs = 1_000_000;
  chance = 0;

  readonly now = (): number => this.nowMs;
  readonly random = (): number => this.chance;
  readonly wait = (delayMs: number): Promise<void> => {
    this.waitsMs.push(delayMs);
    this.nowMs += delayMs;
    return Promise.resolve();
  };
}
