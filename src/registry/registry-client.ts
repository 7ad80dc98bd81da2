/** Pulling from one repository of a registry (distribution-spec, "Pull"). */
import { concatBytes, copyOf } from "../base/bytes.ts";
import { DigestBuilder, digestAlgorithm, parseDigest, sha256Digest, type Digest } from "../base/digest.ts";
import { isLambdaImgError, LambdaImgError, type ErrorCode } from "../base/error.ts";
import { DOCUMENT_BYTES_MAX } from "../base/limit.ts";
import { showBytes } from "../base/units.ts";
import { streamContent } from "./content-stream.ts";
import { findCredentials, passwordLogin } from "./credentials.ts";
import { REAL_PACE } from "./pace.ts";
import { DOCKER_HUB, showRegistryReference, type RegistryReference } from "./reference.ts";
import { refusal } from "./_refusal.ts";
import { retry, RETRY_DEFAULTS, type Pace, type RetrySettings } from "./retry.ts";
import { Authorizer } from "./token.ts";
import { TIMEOUT_DEFAULTS, Transport, type HttpResponse, type Timeouts } from "./transport.ts";

/** How registries are reached, and who we are to them. Nothing is read from the environment but what stands here. */
export interface RegistryOptions {
  /** A login for the registry of the reference; files and programs are not asked then. */
  readonly login?: { readonly username: string; readonly password: string };
  /** PEM texts. */
  readonly certificateAuthorities?: readonly string[];
  /** `HOST[:PORT]`: certificates are not checked, and plain HTTP will do. */
  readonly insecureHosts?: readonly string[];
  /** Environment variables: proxies, and where credentials are. */
  readonly variables?: Readonly<Record<string, string | undefined>>;
  /** Where `.docker` and `.config` are; without it no file is looked for. */
  readonly homeDirectory?: string;
  readonly timeouts?: Timeouts;
  readonly pace?: Pace;
}

/** A manifest or index as it came. */
export interface PulledManifest {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  /** The Content-Type, without parameters; `undefined` where there was none. */
  readonly mediaType: string | undefined;
}

/** Content to pull. `label` is for messages. */
export interface WantedContent {
  readonly digest: Digest;
  readonly label: string;
  readonly signal: AbortSignal | undefined;
}

const ACCEPT = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** One repository. Close it once. */
export class RegistryClient {
  /** For messages: registry, repository, tag or digest. */
  readonly label: string;
  readonly #reference: RegistryReference;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;
  readonly #retry: RetrySettings;
  #base: URL | undefined;
  #pulledBytes = 0;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    const { login, variables = {}, homeDirectory } = options;
    this.label = showRegistryReference(reference);
    this.#reference = reference;
    this.#retry = { ...RETRY_DEFAULTS, pace: options.pace ?? REAL_PACE };
    this.#transport = new Transport({
      certificateAuthorities: options.certificateAuthorities ?? [],
      insecureHosts: options.insecureHosts ?? [],
      variables,
      timeouts: options.timeouts ?? TIMEOUT_DEFAULTS,
    });
    const given =
      login === undefined ? undefined : passwordLogin(login.username, login.password, "the login given");
    this.#authorizer = new Authorizer({
      transport: this.#transport,
      pace: this.#retry.pace,
      registry: reference.registry,
      repository: reference.repository,
      findCredentials: async (signal) => {
        if (given !== undefined || homeDirectory === undefined) return given;
        return findCredentials(reference, { variables, homeDirectory }, signal);
      },
    });
  }

  /** Bytes of documents and layers that have come in so far, repeated ones included. */
  pulledBytes(): number {
    return this.#pulledBytes;
  }

  /**
   * The manifest or index that the reference names.
   * @throws IMAGE_NOT_FOUND, DIGEST_MISMATCH, DOCUMENT_TOO_LARGE, REGISTRY_*, CREDENTIALS_INVALID, CANCELLED
   */
  async pullRoot(signal: AbortSignal | undefined): Promise<PulledManifest> {
    const { tag = "latest", digest } = this.#reference;
    return this.#pullManifest(digest ?? tag, { label: this.label, notFoundCode: "IMAGE_NOT_FOUND", signal });
  }

  /** A manifest or index by digest; the digest is for the caller to verify. */
  async pullManifest(wanted: WantedContent): Promise<Uint8Array> {
    const { bytes } = await this.#pullManifest(wanted.digest, {
      ...wanted,
      notFoundCode: "SOURCE_NOT_FOUND",
    });
    return bytes;
  }

  /** A config; the digest is for the caller to verify. */
  async pullConfig(wanted: WantedContent): Promise<Uint8Array> {
    const { signal, label } = wanted;
    const pull = async (): Promise<Uint8Array> =>
      this.#readDocument(await this.#get(`blobs/${wanted.digest}`, wanted), label);
    return retry(pull, this.#retry, signal);
  }

  /** A layer's bytes as they arrive, lent until the next are asked for; size and digest are for the caller to verify. */
  streamLayer(
    wanted: WantedContent & { readonly sizeBytes: number },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const open = (offsetBytes: number): Promise<HttpResponse> =>
      this.#get(`blobs/${wanted.digest}`, { ...wanted, offsetBytes });
    const { sizeBytes, label } = wanted;
    return this.#count(streamContent({ sizeBytes, label, open }, this.#retry, wanted.signal));
  }

  close(): void {
    this.#transport.close();
  }

  async #pullManifest(version: string, request: GetRequest): Promise<PulledManifest> {
    const pull = async (): Promise<PulledManifest> => {
      const response = await this.#get(`manifests/${version}`, { ...request, accept: ACCEPT });
      const bytes = await this.#readDocument(response, request.label);
      const stated = response.header("docker-content-digest");
      const expected = version.includes(":") ? parseDigest(version, request.label) : undefined;
      const digest = expected ?? sha256Digest(bytes);
      checkDigest(bytes, digest, request.label);
      if (stated !== undefined) {
        const where = `${request.label}: Docker-Content-Digest`;
        checkDigest(bytes, parseDigest(stated, where), where);
      }
      const mediaType = response.header("content-type")?.split(";")[0]?.trim().toLowerCase();
      return { bytes, digest, mediaType };
    };
    return retry(pull, this.#retry, request.signal);
  }

  async #readDocument(response: HttpResponse, label: string): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const piece of this.#count(response.body)) {
      sizeBytes += piece.length;
      if (sizeBytes > DOCUMENT_BYTES_MAX) {
        throw new LambdaImgError(
          "DOCUMENT_TOO_LARGE",
          `${label}: document too large: the limit is ${showBytes(DOCUMENT_BYTES_MAX)}`,
          { details: { limitBytes: DOCUMENT_BYTES_MAX } },
        );
      }
      pieces.push(copyOf(piece));
    }
    return concatBytes(...pieces);
  }

  async *#count(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const piece of pieces) {
      this.#pulledBytes += piece.length;
      yield piece;
    }
  }

  /** Asks the registry, and once more with what it wants to know. */
  async #get(path: string, request: GetRequest): Promise<HttpResponse> {
    const { signal, accept = "*/*", offsetBytes = 0 } = request;
    this.#base ??= await this.#findBase(signal);
    const url = new URL(`v2/${this.#reference.repository}/${path}`, this.#base);
    // Bytes as they are stored: a digest is of those, not of what a server makes of them.
    const headers = { accept, "accept-encoding": "identity" };
    const range = offsetBytes === 0 ? {} : { range: `bytes=${offsetBytes}-` };
    for (let isFirst = true; ; isFirst = false) {
      const authorization = await this.#authorizer.authorization(signal);
      const authorized = authorization === undefined ? {} : { authorization };
      const response = await this.#transport.request({
        method: "GET",
        url,
        headers: { ...headers, ...range, ...authorized },
        signal,
      });
      const { status } = response;
      if (status === 200 || (offsetBytes > 0 && (status === 206 || status === 416))) return response;
      if (status !== 401 || response.url.origin !== url.origin) throw await this.#refusal(response, request);
      if (!isFirst) throw await this.#authorizer.refused(response);
      await this.#authorizer.answer(response, authorization, signal);
    }
  }

  #refusal(response: HttpResponse, request: GetRequest): Promise<LambdaImgError> {
    const { registry, repository } = this.#reference;
    return refusal(response, {
      what: request.label,
      nowMs: this.#retry.pace.now(),
      details: { registry, repository },
      ...(request.notFoundCode === undefined ? {} : { notFoundCode: request.notFoundCode }),
      redact: (text) => this.#authorizer.redact(text),
    });
  }

  /** TLS, always; where plain HTTP is allowed too, the registry is asked which of them it speaks. */
  async #findBase(signal: AbortSignal | undefined): Promise<URL> {
    const { registry } = this.#reference;
    const secure = new URL(`https://${registry === DOCKER_HUB ? "registry-1.docker.io" : registry}/`);
    if (!this.#transport.isPlainAllowed(secure)) return secure;
    try {
      const url = new URL("v2/", secure);
      (await this.#transport.request({ method: "GET", url, headers: {}, signal })).close();
      return secure;
    } catch (error) {
      // What is no TLS: another protocol, or nobody at its port. A wrong certificate is TLS.
      const reason = isLambdaImgError(error) ? String(error.details["reason"]) : "";
      if (!/^(?:EPROTO|ERR_SSL.*|ECONNREFUSED|ECONNRESET)$/.test(reason)) throw error;
      return new URL(`http://${registry}/`);
    }
  }
}

interface GetRequest {
  readonly label: string;
  readonly signal: AbortSignal | undefined;
  readonly accept?: string;
  readonly offsetBytes?: number;
  readonly notFoundCode?: ErrorCode;
}

/** The digest in the algorithm of another. */
function digestOf(bytes: Uint8Array, like: Digest): Digest {
  const builder = new DigestBuilder(digestAlgorithm(like));
  builder.update(bytes);
  return builder.finish();
}

function checkDigest(bytes: Uint8Array, expected: Digest, label: string): void {
  const found = digestOf(bytes, expected);
  if (found === expected) return;
  throw new LambdaImgError(
    "DIGEST_MISMATCH",
    `${label}: digest mismatch: expected ${expected}, found ${found}`,
    { details: { expected, found } },
  );
}
