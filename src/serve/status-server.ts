// ⚡ uses: network, time
/**
 * The numbers of a server over HTTP: `/metrics`, `/status.json` and `/`, a page that draws them. It only tells, it
 * holds no secret and no name of an image, and nothing that goes wrong here reaches whoever is served over NBD.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP, type Socket } from "node:net";

import { closeListener, listenOnTcp, listenOnUnix, type TcpAddress } from "../nbd/listen.ts";
import { describeMetrics, type ServerCounts } from "./metrics.ts";
import { encodeMetrics, METRICS_MEDIA_TYPE } from "./metrics-text.ts";
import { STATUS_PAGE, STATUS_PAGE_POLICY } from "./status-page.ts";
import { describeStatus } from "./status-report.ts";

/** Limits on what a client may say, hold and take its time for. */
const HEADER_BYTES_MAX = 8192;
const CONNECTION_COUNT_MAX = 32;
const HEADERS_TIME_MS_MAX = 5_000;
const REQUEST_TIME_MS_MAX = 10_000;
/** Of silence, in the middle of an answer, too: a client that does not read is cut off. */
const SILENCE_TIME_MS_MAX = 15_000;
/** For how long the numbers are told as they were: describing them takes milliseconds, of which NBD clients have need. */
const REUSE_TIME_MS = 100;

/** What a status server goes by. */
export interface StatusServerOptions {
  readonly counts: ServerCounts;
  /** Told, once, of what goes wrong after it listens. Must not throw. */
  readonly onProblem: (error: unknown) => void;
  /** Milliseconds since any moment, never less than before; the system's if left out. */
  readonly nowMs?: () => number;
}

interface Answer {
  readonly mediaType: string;
  readonly text: string;
  readonly policy: string;
}

/** A document has nothing to load and nothing to run, unless it says so. */
const NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'";

/** Answers until it is closed; it listens in one place. */
export class StatusServer {
  readonly #server: Server;
  readonly #options: StatusServerOptions;
  readonly #nowMs: () => number;
  /** Connections that have had their request. */
  readonly #asked: WeakSet<Socket> = new WeakSet();
  /** The last answer, by path. */
  readonly #recent: Map<string, { readonly answer: Answer; readonly madeMs: number }> = new Map();
  /** The name that the user gave the place; undefined on a Unix socket, where no browser comes by a name. */
  #ownHost: string | undefined;
  #hasProblem = false;

  constructor(options: StatusServerOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? ((): number => performance.now());
    this.#server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: HEADERS_TIME_MS_MAX,
        requestTimeout: REQUEST_TIME_MS_MAX,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => {
        const { socket } = request;
        if (this.#asked.has(socket)) {
          // To parse requests without end costs time, too. The answer, begun in this turn, leaves before microtasks.
          queueMicrotask(() => socket.destroy());
        } else {
          this.#asked.add(socket);
          this.#answer(request, response);
        }
      },
    );
    this.#server.maxConnections = CONNECTION_COUNT_MAX;
    this.#server.setTimeout(SILENCE_TIME_MS_MAX);
  }

  /** Listens on a Unix socket of this user. @throws LISTEN_UNAVAILABLE */
  async listenUnix(path: string): Promise<void> {
    await listenOnUnix(this.#server, path);
    this.#hearProblems();
  }

  /** Listens on TCP; port 0 lets the system choose. Gives where it listens. @throws LISTEN_UNAVAILABLE */
  async listenTcp(address: TcpAddress): Promise<TcpAddress> {
    this.#ownHost = address.host.toLowerCase();
    const found = await listenOnTcp(this.#server, address);
    this.#hearProblems();
    return found;
  }

  /** Resolves when nobody is connected any more; that is at once, since connections are cut. */
  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      closeListener(this.#server, () => {
        resolve();
      });
      this.#server.closeAllConnections();
    });
  }

  #hearProblems(): void {
    this.#server.on("error", (error) => {
      this.#tell(error);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    try {
      const { method = "" } = request;
      if (!isKnownHost(request.headers.host, this.#ownHost)) {
        // A page of somebody else's that has its name point here could read the numbers otherwise (DNS rebinding).
        refuse(response, { status: 421, text: "this server does not go by that name" });
      } else if (method !== "GET" && method !== "HEAD") {
        response.setHeader("allow", "GET, HEAD");
        refuse(response, { status: 405, text: "only GET and HEAD" });
      } else {
        // Only the path counts: scrapers may add a query.
        const answer = this.#answerTo((request.url ?? "").replace(/\?.*$/s, ""));
        if (answer === undefined) refuse(response, { status: 404, text: "see /, /metrics and /status.json" });
        else send(response, 200, answer);
      }
    } catch (error) {
      this.#tell(error);
      response.destroy();
    }
  }

  #answerTo(path: string): Answer | undefined {
    const { counts } = this.#options;
    switch (path) {
      case "/":
        return { mediaType: "text/html; charset=utf-8", text: STATUS_PAGE, policy: STATUS_PAGE_POLICY };
      case "/metrics":
        return this.#reuse(path, () => ({
          mediaType: METRICS_MEDIA_TYPE,
          text: encodeMetrics(describeMetrics(counts)),
          policy: NO_CONTENT_POLICY,
        }));
      case "/status.json":
        return this.#reuse(path, () => ({
          mediaType: "application/json",
          text: `${JSON.stringify(describeStatus(counts))}\n`,
          policy: NO_CONTENT_POLICY,
        }));
      default:
        return undefined;
    }
  }

  /** The answer that was made last, unless it is too old. */
  #reuse(path: string, describe: () => Answer): Answer {
    const last = this.#recent.get(path);
    if (last !== undefined && this.#nowMs() - last.madeMs < REUSE_TIME_MS) return last.answer;
    const answer = describe();
    this.#recent.set(path, { answer, madeMs: this.#nowMs() });
    return answer;
  }

  #tell(error: unknown): void {
    if (this.#hasProblem) return;
    this.#hasProblem = true;
    this.#options.onProblem(error);
  }
}

/**
 * True for names that nobody else can give this server: addresses, `localhost`, and the name that the user gave.
 * `ownHost` is undefined where every name will do.
 */
function isKnownHost(header: string | undefined, ownHost: string | undefined): boolean {
  if (ownHost === undefined) return true;
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::[0-9]{1,5})?$/.exec(header ?? "");
  const host = (match?.[1] ?? match?.[2] ?? "").toLowerCase();
  return isIP(host) !== 0 || host === "localhost" || (host !== "" && host === ownHost);
}

/** An answer that is no document. */
function refuse(
  response: ServerResponse,
  { status, text }: { readonly status: number; readonly text: string },
): void {
  send(response, status, {
    mediaType: "text/plain; charset=utf-8",
    text: `${text}\n`,
    policy: NO_CONTENT_POLICY,
  });
}

/** The last that the connection carries: what the client still sends is not waited for. To HEAD Node sends the headers alone. */
function send(response: ServerResponse, status: number, { mediaType, text, policy }: Answer): void {
  const bytes = new TextEncoder().encode(text);
  response.writeHead(status, {
    connection: "close",
    "content-type": mediaType,
    "content-length": bytes.length,
    "content-security-policy": policy,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
  });
  response.end(bytes);
}
