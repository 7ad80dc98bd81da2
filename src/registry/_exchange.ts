// ⚡ uses: Buffer, network, time
/** One HTTP request and its answer, with deadlines; no redirects, no retries. */
import http, { type Agent, type ClientRequest, type IncomingMessage } from "node:http";
import https from "node:https";

import { LambdaImgError } from "../base/error.ts";
import { takeLargeBody } from "./_large-body.ts";
import { networkError, timeoutError } from "./_network-error.ts";

/** What is sent. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What comes back. The body must be read to its end, or closed. */
export interface HttpResponse {
  readonly status: number;
  /** Where it came from, after redirects. */
  readonly url: URL;
  /** A field by its name in lower case; several of one name are joined by commas. */
  header(name: string): string | undefined;
  /** The body as it arrives, lent: a piece is good until the next one is asked for. Once. */
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
  /** Ends the connection where the body has not been read to its end. */
  close(): void;
}

/** How a request gets to its host. */
export interface Route {
  readonly agent: Agent;
  /** What is connected to: the host itself, or a proxy that takes whole URLs. */
  readonly peer: URL;
  readonly isWholeUrl: boolean;
  /** The agent gives sockets that are ready: it has gone through a proxy and spoken TLS. */
  readonly isTunnel: boolean;
  readonly headers: Readonly<Record<string, string>>;
  /** For messages: host and port, and the proxy. */
  readonly where: string;
  readonly timeouts: Timeouts;
}

/** How long to wait. */
export interface Timeouts {
  /** Until there is a connection, TLS and proxies included. */
  readonly connectMs: number;
  /** For the head of an answer, and for each piece of its body. */
  readonly idleMs: number;
}

/**
 * Sends the request; resolves with the head of the answer.
 * @throws REGISTRY_UNAVAILABLE, REGISTRY_UNTRUSTED, REGISTRY_INVALID, SOURCE_NOT_FOUND, CANCELLED
 */
export function exchange(request: HttpRequest, route: Route): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const { signal } = request;
    const { connectMs, idleMs } = route.timeouts;
    const client = send(request, route);
    let timer: NodeJS.Timeout | undefined;
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      // First: a request that has no socket yet would not say that it was destroyed.
      reject(networkError(error, route.where));
      client.destroy();
    };
    const onAbort = (): void => {
      fail(cancelled(signal));
    };
    const expect = (timeoutMs: number, what: string): void => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        fail(timeoutError(route.where, what, timeoutMs));
      }, timeoutMs);
    };
    expect(connectMs, "no connection");
    client.on("socket", (socket) => {
      const isSecure = "encrypted" in socket;
      const isReady = client.reusedSocket || (!socket.connecting && !isSecure) || route.isTunnel;
      const onReady = (): void => {
        expect(idleMs, "no answer");
      };
      if (isReady) onReady();
      else socket.once(isSecure ? "secureConnect" : "connect", onReady);
    });
    let isAnswered = false;
    client.on("error", (error: NodeJS.ErrnoException) => {
      // Whoever reads the body hears of what happens to it.
      if (isAnswered) return;
      if (!client.reusedSocket || error.code !== "ECONNRESET" || signal?.aborted === true) fail(error);
      else {
        // A kept connection that its server has closed meanwhile says nothing about the server: at once, anew.
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        resolve(exchange(request, route));
      }
    });
    client.once("response", (message) => {
      isAnswered = true;
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      resolve(new Answer(message, { request, route }));
    });
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort);
    client.end(request.body);
  });
}

function send(request: HttpRequest, route: Route): ClientRequest {
  const { url, method } = request;
  const { peer, isWholeUrl } = route;
  const body =
    request.body === undefined ? {} : { "content-length": String(Buffer.byteLength(request.body)) };
  return (peer.protocol === "https:" ? https : http).request({
    agent: route.agent,
    method,
    hostname: bareHost(peer),
    port: peer.port === "" ? (peer.protocol === "https:" ? 443 : 80) : Number(peer.port),
    path: isWholeUrl ? url.href.slice(0, url.href.length - url.hash.length) : `${url.pathname}${url.search}`,
    headers: { "user-agent": "lambda-img", ...request.headers, ...body, ...route.headers, host: url.host },
  });
}

/** A URL's host without the brackets of an IPv6 address. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

class Answer implements HttpResponse {
  readonly status: number;
  readonly url: URL;
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
  readonly #message: IncomingMessage;
  readonly #close: () => void;

  constructor(message: IncomingMessage, use: { readonly request: HttpRequest; readonly route: Route }) {
    const { signal } = use.request;
    this.status = message.statusCode ?? 0;
    this.url = use.request.url;
    this.#message = message;
    const onAbort = (): void => {
      message.destroy(cancelled(signal));
    };
    this.#close = () => {
      signal?.removeEventListener("abort", onAbort);
      message.destroy();
    };
    // Whoever reads hears of an error; where nobody reads, there is nobody to tell.
    message.on("error", () => undefined);
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener("abort", onAbort);
    const pieces = takeLargeBody(message) ?? (message[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>);
    this.body = readBody({ message, pieces, route: use.route, close: this.#close });
  }

  header(name: string): string | undefined {
    const value = this.#message.headers[name];
    return typeof value === "string" ? value : value?.join(", ");
  }

  close(): void {
    this.#close();
  }
}

interface BodyParts {
  readonly message: IncomingMessage;
  readonly pieces: AsyncIterator<Uint8Array>;
  readonly route: Route;
  readonly close: () => void;
}

async function* readBody({
  message,
  pieces,
  route,
  close,
}: BodyParts): AsyncGenerator<Uint8Array, void, undefined> {
  const { idleMs } = route.timeouts;
  // The clock runs only while we wait for the peer: a slow reader is no stalled connection.
  let timer: NodeJS.Timeout | undefined;
  try {
    for (;;) {
      timer = setTimeout(() => {
        message.destroy(timeoutError(route.where, "nothing came", idleMs));
      }, idleMs);
      const step = await pieces.next();
      clearTimeout(timer);
      if (step.done === true) return;
      const piece = step.value;
      yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    }
  } catch (error) {
    throw networkError(error, route.where);
  } finally {
    clearTimeout(timer);
    close();
  }
}

function cancelled(signal: AbortSignal | undefined): LambdaImgError {
  return new LambdaImgError("CANCELLED", "cancelled", { cause: signal?.reason });
}
