// ⚡ uses: network
/** HTTP over node:http: TLS, proxies, redirects. What it does not do: credentials, retries, meaning. */
import { Agent as PlainAgent } from "node:http";
import { Agent as TlsAgent } from "node:https";
import { rootCertificates } from "node:tls";

import { LambdaImgError } from "../base/error.ts";
import { exchange, type HttpRequest, type HttpResponse, type Route, type Timeouts } from "./_exchange.ts";
import { tapConnections } from "./_large-body.ts";
import { REDIRECT_COUNT_MAX } from "./_limit.ts";
import { isLoopback } from "./_loopback.ts";
import { proxyAuthorization, proxyFor, type Variables } from "./_proxy.ts";
import { proxyRefusal, Tunnels, type TlsSettings } from "./_tunnel.ts";

export type { HttpRequest, HttpResponse, Timeouts } from "./_exchange.ts";

/** How hosts are reached. */
export interface TransportSettings {
  /** PEM texts of certificate authorities that are trusted besides the runtime's. */
  readonly certificateAuthorities: readonly string[];
  /** `HOST` or `HOST:PORT`: certificates are not checked there, and plain HTTP will do. */
  readonly insecureHosts: readonly string[];
  /** HTTP_PROXY, HTTPS_PROXY, NO_PROXY. */
  readonly variables: Variables;
  readonly timeouts: Timeouts;
}

/** As in most clients. */
export const TIMEOUT_DEFAULTS: Timeouts = { connectMs: 30_000, idleMs: 60_000 };

/** Connections, kept for the next request. Close it once. */
export class Transport {
  readonly #settings: TransportSettings;
  readonly #tls: Omit<TlsSettings, "rejectUnauthorized">;
  readonly #plainAgent: PlainAgent = new PlainAgent({ keepAlive: true });
  readonly #tlsAgents = new Map<string, TlsAgent>();
  readonly #tunnels = new Map<string, Tunnels>();

  constructor(settings: TransportSettings) {
    this.#settings = settings;
    tapConnections(this.#plainAgent);
    const own = settings.certificateAuthorities;
    // Without our own the runtime decides, which then heeds NODE_EXTRA_CA_CERTS and --use-openssl-ca.
    this.#tls = own.length === 0 ? {} : { ca: [...rootCertificates, ...own] };
  }

  /** True where the user said, or the machine is the proof, that nobody can listen or answer in its place. */
  isPlainAllowed(url: URL): boolean {
    return isLoopback(url) || this.#isInsecure(url);
  }

  /**
   * True where who speaks TLS may send us on to plain HTTP: where the user said so, and from this machine to itself.
   * A registry elsewhere has no business with what listens here.
   */
  isDowngradeAllowed(from: URL, to: URL): boolean {
    return this.#isInsecure(to) || (isLoopback(from) && isLoopback(to));
  }

  /**
   * Sends a request and follows redirects; whatever the status, the answer is the caller's. Authorization goes to the
   * first URL's origin alone (RFC 9110 15.4: a redirect to another must not take it along).
   * @throws REGISTRY_UNAVAILABLE, REGISTRY_UNTRUSTED, REGISTRY_INVALID, SOURCE_NOT_FOUND, CANCELLED
   */
  async request(request: HttpRequest): Promise<HttpResponse> {
    let current = request;
    for (let redirectCount = 0; ; redirectCount++) {
      const response = await this.#send(current);
      const location = response.header("location");
      const isRedirect = [301, 302, 303, 307, 308].includes(response.status) && request.method === "GET";
      if (!isRedirect || location === undefined) return response;
      response.close();
      if (redirectCount >= REDIRECT_COUNT_MAX) {
        throw invalid(current.url, `more than ${REDIRECT_COUNT_MAX} redirects`);
      }
      current = this.#redirect(current, location);
    }
  }

  close(): void {
    this.#plainAgent.destroy();
    for (const agent of this.#tlsAgents.values()) agent.destroy();
    for (const tunnels of this.#tunnels.values()) tunnels.close();
  }

  #redirect(from: HttpRequest, location: string): HttpRequest {
    if (!URL.canParse(location, from.url.href)) throw invalid(from.url, "a redirect to what is no URL");
    const url = new URL(location, from.url);
    if (!/^https?:$/.test(url.protocol)) throw invalid(from.url, `a redirect to ${url.protocol}`);
    if (
      url.protocol === "http:" &&
      from.url.protocol === "https:" &&
      !this.isDowngradeAllowed(from.url, url)
    ) {
      throw invalid(from.url, `a redirect from https to plain http (${url.host})`);
    }
    url.username = "";
    url.password = "";
    url.hash = "";
    if (url.origin === from.url.origin) return { ...from, url };
    const headers = Object.entries(from.headers).filter(
      ([name]) => !/^(?:authorization|cookie)$/i.test(name),
    );
    return { ...from, url, headers: Object.fromEntries(headers) };
  }

  async #send(request: HttpRequest): Promise<HttpResponse> {
    const proxy = proxyFor(request.url, this.#settings.variables);
    const route = this.#route(request.url, proxy);
    const response = await exchange(request, route);
    if (response.status === 407 && proxy !== undefined) {
      response.close();
      throw proxyRefusal(proxy, response.status);
    }
    return response;
  }

  #route(url: URL, proxy: URL | undefined): Route {
    const { timeouts } = this.#settings;
    const direct = { peer: url, isWholeUrl: false, isTunnel: false, headers: {}, timeouts };
    const isSecure = url.protocol === "https:";
    if (proxy === undefined) {
      const agent = isSecure ? this.#tlsAgent(url) : this.#plainAgent;
      return { ...direct, agent, where: url.host };
    }
    const where = `${url.host} (by the proxy ${proxy.host})`;
    if (isSecure) return { ...direct, agent: this.#tunnel(url, proxy), where, isTunnel: true };
    const authorization = proxyAuthorization(proxy);
    return {
      ...direct,
      agent: proxy.protocol === "https:" ? this.#tlsAgent(proxy) : this.#plainAgent,
      peer: proxy,
      isWholeUrl: true,
      headers: authorization === undefined ? {} : { "proxy-authorization": authorization },
      where,
    };
  }

  #tlsSettings(url: URL): TlsSettings {
    return { ...this.#tls, rejectUnauthorized: !this.#isInsecure(url) };
  }

  #tlsAgent(url: URL): TlsAgent {
    const settings = this.#tlsSettings(url);
    const key = String(settings.rejectUnauthorized);
    const known = this.#tlsAgents.get(key);
    if (known !== undefined) return known;
    const agent = new TlsAgent({ keepAlive: true, ...copyTls(settings) });
    tapConnections(agent);
    this.#tlsAgents.set(key, agent);
    return agent;
  }

  #tunnel(url: URL, proxy: URL): TlsAgent {
    const settings = this.#tlsSettings(url);
    const key = `${proxy.href} ${String(settings.rejectUnauthorized)}`;
    const tunnels = this.#tunnels.get(key) ?? new Tunnels(proxy, settings);
    this.#tunnels.set(key, tunnels);
    return tunnels.agent;
  }

  #isInsecure(url: URL): boolean {
    return this.#settings.insecureHosts.some((host) => {
      const wanted = host.toLowerCase();
      const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
      return wanted === url.hostname || wanted === `${url.hostname}:${port}`;
    });
  }
}

function copyTls({ ca, ...more }: TlsSettings): { rejectUnauthorized: boolean; ca?: string[] } {
  return { ...more, ...(ca === undefined ? {} : { ca: [...ca] }) };
}

function invalid(url: URL, what: string): LambdaImgError {
  return new LambdaImgError("REGISTRY_INVALID", `${url.host}: answered with ${what}`, {
    details: { host: url.host },
  });
}
