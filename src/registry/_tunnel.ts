// ⚡ uses: network
/** Connections through a proxy: CONNECT (RFC 9110 9.3.6), then TLS with the host itself. */
import http, { type ClientRequest } from "node:http";
import https from "node:https";
import { isIP, type Socket } from "node:net";
import tls, { type TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";

import { LambdaImgError } from "../base/error.ts";
import { bareHost } from "./_exchange.ts";
import { networkError } from "./_network-error.ts";
import { proxyAuthorization } from "./_proxy.ts";

/** How TLS is spoken, as tls.connect takes it. */
export interface TlsSettings {
  readonly ca?: readonly string[];
  readonly rejectUnauthorized: boolean;
}

/** An agent for https hosts behind a proxy. */
export class Tunnels {
  readonly agent: https.Agent;
  readonly #proxy: URL;
  readonly #tls: TlsSettings;
  /** What the agent does not know of yet: requests for a tunnel, and tunnels in which TLS begins. */
  readonly #open = new Set<ClientRequest | TLSSocket>();

  constructor(proxy: URL, tlsSettings: TlsSettings) {
    this.#proxy = proxy;
    this.#tls = tlsSettings;
    this.agent = new https.Agent({ keepAlive: true });
    this.agent.createConnection = (options, callback) => {
      const host = options.host ?? options.hostname ?? "";
      this.#connect({ host, port: Number(options.port ?? 443) }).then(
        (socket) => callback?.(null, socket),
        (error: unknown) => {
          // The type wants a socket even where there is an error.
          (callback as ((error: Error) => void) | undefined)?.(error as Error);
        },
      );
      return undefined;
    };
  }

  close(): void {
    for (const each of this.#open) each.destroy(new Error("closed"));
    this.agent.destroy();
  }

  async #connect(target: { readonly host: string; readonly port: number }): Promise<Duplex> {
    const socket = await this.#openTunnel(target);
    return new Promise((resolve, reject) => {
      const { host } = target;
      const secure = tls.connect({
        ...this.#tls,
        ca: this.#tls.ca === undefined ? undefined : [...this.#tls.ca],
        socket,
        ...(isIP(host) === 0 ? { servername: host } : { host }),
      });
      this.#open.add(secure);
      secure.once("close", () => this.#open.delete(secure));
      secure.once("secureConnect", () => {
        this.#open.delete(secure);
        secure.removeListener("error", reject);
        resolve(secure);
      });
      secure.once("error", reject);
    });
  }

  #openTunnel({ host, port }: { readonly host: string; readonly port: number }): Promise<Socket> {
    const proxy = this.#proxy;
    const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`;
    const authorization = proxyAuthorization(proxy);
    return new Promise((resolve, reject) => {
      const request = (proxy.protocol === "https:" ? https : http).request({
        method: "CONNECT",
        hostname: bareHost(proxy),
        port: proxy.port === "" ? (proxy.protocol === "https:" ? 443 : 80) : Number(proxy.port),
        path: authority,
        agent: false,
        ...(this.#tls.ca === undefined ? {} : { ca: [...this.#tls.ca] }),
        headers: {
          host: authority,
          ...(authorization === undefined ? {} : { "proxy-authorization": authorization }),
        },
      });
      this.#open.add(request);
      request.once("connect", ({ statusCode = 0 }, socket) => {
        // Any successful status (RFC 9110 9.3.6).
        if (statusCode >= 200 && statusCode < 300) resolve(socket);
        else {
          socket.destroy();
          reject(proxyRefusal(proxy, statusCode));
        }
      });
      request.once("response", (response) => {
        response.destroy();
        reject(proxyRefusal(proxy, response.statusCode ?? 0));
      });
      request.once("error", (error) => {
        reject(networkError(error, `proxy ${proxy.host}`));
      });
      request.once("close", () => this.#open.delete(request));
      request.end();
    });
  }
}

/** A proxy's own refusal. */
export function proxyRefusal(proxy: URL, status: number): LambdaImgError {
  const message = `proxy ${proxy.host}: refused to connect (status ${status})`;
  const details = { host: proxy.host, status };
  return new LambdaImgError(status >= 500 ? "REGISTRY_UNAVAILABLE" : "REGISTRY_FORBIDDEN", message, {
    details,
  });
}
