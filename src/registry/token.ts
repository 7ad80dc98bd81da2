/**
 * The Authorization field of requests to one repository: none, Basic, or a Bearer token that a token server gave
 * (distribution, "Token Authentication Specification" and "OAuth2 Token Authentication"; RFC 6750).
 */
import { LambdaImgError } from "../base/error.ts";
import { basicAuthorization, type Credentials } from "./credentials.ts";
import { parseChallenges, type Challenge } from "./challenge.ts";
import { countIn, parseObject, stringIn } from "./_json.ts";
import { TOKEN_BODY_BYTES_MAX } from "./_limit.ts";
import { refusal } from "./_refusal.ts";
import type { Pace } from "./retry.ts";
import { serverMessage } from "./_server-message.ts";
import type { HttpResponse, Transport } from "./transport.ts";

/** What authorization works with. */
export interface AuthorizerParts {
  readonly transport: Transport;
  readonly pace: Pace;
  /** For messages. */
  readonly registry: string;
  readonly repository: string;
  /** Asked once, and only where the registry wants to know who asks. */
  findCredentials(signal: AbortSignal | undefined): Promise<Credentials | undefined>;
}

/** A token is renewed so long before its end that a request made with it gets there. */
const MARGIN_MS = 15_000;
/** "If omitted, this defaults to 60 seconds." */
const EXPIRES_SECONDS_DEFAULT = 60;
const CLIENT_ID = "lambda-img";

type Scheme =
  | { readonly kind: "none" }
  | { readonly kind: "fixed"; readonly field: string }
  | { readonly kind: "token"; readonly challenge: Challenge; readonly base: URL };

interface Token {
  readonly field: string;
  readonly endsMs: number;
}

/** The authorization of one client for one repository. */
export class Authorizer {
  readonly #parts: AuthorizerParts;
  readonly #secrets = new Set<string>();
  #credentials: Promise<Credentials | undefined> | undefined;
  #scheme: Scheme = { kind: "none" };
  #token: Token | undefined;

  constructor(parts: AuthorizerParts) {
    this.#parts = parts;
  }

  /** The field for the next request; a token that is about to end is renewed first. */
  async authorization(signal: AbortSignal | undefined): Promise<string | undefined> {
    if (this.#scheme.kind === "none") return undefined;
    if (this.#scheme.kind === "fixed") return this.#scheme.field;
    if (this.#token === undefined || this.#parts.pace.now() >= this.#token.endsMs)
      await this.#renew(this.#scheme, signal);
    return this.#token?.field;
  }

  /**
   * Takes the challenge of an answer with status 401. `refused` is the field that the request had.
   * @throws REGISTRY_UNAUTHORIZED where there is nothing better to offer; REGISTRY_INVALID, CREDENTIALS_INVALID
   */
  async answer(
    response: HttpResponse,
    refused: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const challenges = parseChallenges(response.header("www-authenticate") ?? "");
    const credentials = await this.#login(signal);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    if (credentials?.kind === "bearer")
      this.#scheme = { kind: "fixed", field: this.#keep(credentials.token) };
    else if (bearer !== undefined) {
      this.#token = undefined;
      this.#scheme = { kind: "token", challenge: bearer, base: response.url };
      await serverMessage(response);
      return;
    } else if (basic !== undefined && credentials?.kind === "password") {
      const field = basicAuthorization(credentials.username, credentials.password);
      this.#secrets.add(field.slice("Basic ".length));
      this.#scheme = { kind: "fixed", field };
    } else {
      const known = challenges.map(({ scheme }) => scheme).join(", ");
      throw this.#unauthorized(
        basic === undefined
          ? `it asks for what is not known here (${known === "" ? "no challenge" : known})`
          : "it wants a name and a password, and there are none",
        await serverMessage(response),
      );
    }
    if (this.#scheme.field === refused) throw await this.refused(response);
    await serverMessage(response);
  }

  /** That we offered what we have, and were not let in. */
  async refused(response: HttpResponse): Promise<LambdaImgError> {
    const hasLogin = (await this.#credentials) !== undefined;
    const why = hasLogin ? "the login was refused" : "there is no such repository, or it wants a login";
    return this.#unauthorized(why, await serverMessage(response));
  }

  /** The text without what only we and the registry may know, should a server have sent it back. */
  redact(text: string): string {
    let shown = text;
    for (const secret of this.#secrets) shown = shown.replaceAll(secret, "***");
    return shown;
  }

  #unauthorized(why: string, message: string): LambdaImgError {
    const { registry, repository } = this.#parts;
    const said = message === "" ? "" : ` (${message})`;
    const hint = "give --username and --password-stdin, or log in with docker or podman";
    return new LambdaImgError(
      "REGISTRY_UNAUTHORIZED",
      this.redact(`registry ${registry}, repository ${repository}: not authorized: ${why}${said}; ${hint}`),
      { details: { registry, repository, status: 401 } },
    );
  }

  #login(signal: AbortSignal | undefined): Promise<Credentials | undefined> {
    this.#credentials ??= this.#parts.findCredentials(signal).then((found) => {
      if (found !== undefined) this.#secrets.add(found.kind === "password" ? found.password : found.token);
      this.#secrets.delete("");
      return found;
    });
    return this.#credentials;
  }

  /** A Bearer field; its token is a secret. */
  #keep(token: string): string {
    this.#secrets.add(token);
    return `Bearer ${token}`;
  }

  async #renew(scheme: Scheme & { readonly kind: "token" }, signal: AbortSignal | undefined): Promise<void> {
    this.#token = await this.#fetchToken(scheme, await this.#login(signal), signal);
  }

  async #fetchToken(
    scheme: Scheme & { readonly kind: "token" },
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Token> {
    const askedMs = this.#parts.pace.now();
    const response = await this.#askRealm(scheme, credentials, signal);
    if (response.status !== 200) throw await this.#tokenRefusal(response, credentials);
    const body = parseObject(await readText(response)) ?? {};
    const token = stringIn(body, "token") ?? stringIn(body, "access_token") ?? "";
    if (!/^[\x21-\x7e]+$/.test(token)) throw invalid(response.url, "gave no token");
    const seconds = countIn(body, "expires_in") ?? EXPIRES_SECONDS_DEFAULT;
    // From when we asked, by our own clock: issued_at is by another's. A short life leaves no room for a margin.
    const lifeMs = seconds * 1000;
    return { field: this.#keep(token), endsMs: askedMs + Math.max(lifeMs / 2, lifeMs - MARGIN_MS) };
  }

  #askRealm(
    { challenge, base }: Scheme & { readonly kind: "token" },
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const { transport, repository } = this.#parts;
    const url = this.#realm(challenge, base);
    const service = challenge.parameters.get("service");
    const scope = challenge.parameters.get("scope") ?? `repository:${repository}:pull`;
    const accept = { accept: "application/json" };
    if (credentials?.kind === "identity") {
      const form = new URLSearchParams({ grant_type: "refresh_token", client_id: CLIENT_ID, scope });
      if (service !== undefined) form.set("service", service);
      form.set("refresh_token", credentials.token);
      const headers = { ...accept, "content-type": "application/x-www-form-urlencoded" };
      return transport.request({ method: "POST", url, headers, body: form.toString(), signal });
    }
    if (service !== undefined) url.searchParams.append("service", service);
    for (const one of scope.split(" ").filter((part) => part !== "")) url.searchParams.append("scope", one);
    if (credentials?.kind !== "password")
      return transport.request({ method: "GET", url, headers: accept, signal });
    const { username, password } = credentials;
    const authorization = basicAuthorization(username, password);
    this.#secrets.add(authorization.slice("Basic ".length));
    return transport.request({ method: "GET", url, headers: { ...accept, authorization }, signal });
  }

  /** Where tokens are given. Passwords go there, so it must be as safe as the registry itself. */
  #realm(challenge: Challenge, base: URL): URL {
    const realm = challenge.parameters.get("realm");
    if (realm === undefined || !URL.canParse(realm, base.href)) {
      throw invalid(base, "names no token server (the challenge's realm is no URL)");
    }
    const url = new URL(realm, base);
    const isSafe =
      url.protocol === "https:" ||
      (url.protocol === "http:" &&
        (base.protocol === "http:" || this.#parts.transport.isDowngradeAllowed(base, url)));
    if (!isSafe || url.username !== "" || url.password !== "") {
      throw invalid(base, `names a token server that is not safe: ${url.protocol}//${url.host}`);
    }
    return url;
  }

  async #tokenRefusal(response: HttpResponse, credentials: Credentials | undefined): Promise<LambdaImgError> {
    const { status, url } = response;
    if (status === 401 || status === 403 || (status === 400 && credentials?.kind === "identity")) {
      const message = await serverMessage(response);
      const why =
        credentials === undefined
          ? `the token server ${url.host} gives none without a login`
          : `the token server ${url.host} refused the login (status ${status})`;
      return this.#unauthorized(why, message);
    }
    return refusal(response, {
      what: `token server ${url.host}`,
      nowMs: this.#parts.pace.now(),
      redact: (text) => this.redact(text),
    });
  }
}

async function readText(response: HttpResponse): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let sizeBytes = 0;
  for await (const piece of response.body) {
    sizeBytes += piece.length;
    if (sizeBytes > TOKEN_BODY_BYTES_MAX) throw invalid(response.url, "gave a token that is too large");
    text += decoder.decode(piece, { stream: true });
  }
  return text;
}

function invalid(url: URL, what: string): LambdaImgError {
  return new LambdaImgError("REGISTRY_INVALID", `${url.host}: ${what}`, { details: { host: url.host } });
}
