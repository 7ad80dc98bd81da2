/**
 * References to images in registries as Docker's users write them. Grammar: distribution/reference; what is left
 * out is Docker Hub, `library/` and `latest`.
 */
import { parseDigest, type Digest } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";
import { REPOSITORY_LENGTH_MAX } from "./_limit.ts";

/** An image in a registry. Where there is a digest it decides, and the tag is only a note. */
export interface RegistryReference {
  /** Host and port as written, in lower case: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/alpine`. */
  readonly repository: string;
  /** As written; without tag and digest, `latest` is meant. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/** Docker Hub's name in references. */
export const DOCKER_HUB = "docker.io";

/**
 * Reads `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
 * @throws REFERENCE_INVALID, with the parts as they were read
 */
export function parseRegistryReference(text: string): RegistryReference {
  const scheme = /^([a-z]+):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) throw invalid(text, `it starts with ${scheme}://; leave that away`);
  const at = text.indexOf("@");
  const named = at < 0 ? text : text.slice(0, at);
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const { host, path } = splitHost(named);
  const colon = path.indexOf(":");
  const name = colon < 0 ? path : path.slice(0, colon);
  const tag = colon < 0 ? undefined : path.slice(colon + 1);
  const registry = host === "index.docker.io" ? DOCKER_HUB : host;
  const repository = registry === DOCKER_HUB && !name.includes("/") ? `library/${name}` : name;
  const parts: Parts = { registry, repository: name, tag, digest };
  checkHost(text, parts);
  checkRepository(text, parts, host === DOCKER_HUB && named === path);
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) {
    throw invalid(text, "a tag is 1 to 128 letters, digits, '_', '.' or '-', first no '.' or '-'", parts);
  }
  return {
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest: referenceDigest(text, digest, parts) }),
  };
}

/** The parts for messages: `registry docker.io, repository library/alpine, tag 3.20`. */
export function showRegistryReference(reference: RegistryReference): string {
  const { registry, repository, tag, digest } = reference;
  const version = digest === undefined ? `tag ${tag ?? "latest"}` : `digest ${digest}`;
  return `registry ${registry}, repository ${repository}, ${version}`;
}

interface Parts {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

/** The first component is a host where it could be no part of Docker Hub: it has a dot, a colon or upper case. */
function splitHost(named: string): { readonly host: string; readonly path: string } {
  const slash = named.indexOf("/");
  const first = slash < 0 ? "" : named.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  if (!isHost) return { host: DOCKER_HUB, path: named };
  return { host: first.toLowerCase(), path: named.slice(slash + 1) };
}

/** A domain name of 255 characters (RFC 1035 2.3.4), a colon and a port. */
const HOST_LENGTH_MAX = 261;
const DOMAIN =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/;

function checkHost(text: string, parts: Parts): void {
  const match = parts.registry.length > HOST_LENGTH_MAX ? null : DOMAIN.exec(parts.registry);
  if (match === null) throw invalid(text, "the registry is no host name or address", parts);
  const port = match[1] === undefined ? undefined : Number(match[1]);
  if (port !== undefined && (port < 1 || port > 65535)) {
    throw invalid(text, "a port is a number from 1 to 65535", parts);
  }
  if (!URL.canParse(`https://${parts.registry}/`)) {
    throw invalid(text, "the registry is no host name or address", parts);
  }
}

function checkRepository(text: string, parts: Parts, isBare: boolean): void {
  const { repository } = parts;
  if (repository === "") throw invalid(text, "it has no repository", parts);
  if (repository !== repository.toLowerCase()) {
    throw invalid(text, "a repository has no upper-case letters", parts);
  }
  for (const component of repository.split("/")) {
    if (/^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*$/.test(component)) continue;
    const rule = "letters and digits, with '.', '_', '__' or '-' between them";
    throw invalid(text, `a repository's parts are ${rule}, found ${JSON.stringify(component)}`, parts);
  }
  if (repository.length > REPOSITORY_LENGTH_MAX) {
    throw invalid(text, `a repository has at most ${REPOSITORY_LENGTH_MAX} characters`);
  }
  // As in Docker, where such a name stands for an image ID.
  if (isBare && /^[0-9a-f]{64}$/.test(repository)) {
    throw invalid(text, "64 hexadecimal digits are an image ID, not a repository");
  }
}

function referenceDigest(text: string, digest: string, parts: Parts): Digest {
  try {
    return parseDigest(digest, "digest");
  } catch (cause) {
    throw invalid(text, cause instanceof LambdaImgError ? cause.message : String(cause), parts);
  }
}

function invalid(text: string, why: string, parts?: Parts): LambdaImgError {
  const shown = text.length > 400 ? `${text.slice(0, 400)}…` : text;
  const found = parts === undefined ? "" : ` (${showParts(parts)})`;
  return new LambdaImgError(
    "REFERENCE_INVALID",
    `invalid reference ${JSON.stringify(shown)}: ${why}${found}`,
  );
}

function showParts(parts: Parts): string {
  return Object.entries(parts)
    .flatMap(([name, value]: [string, string | undefined]) =>
      value === undefined ? [] : [`${name} ${JSON.stringify(value.slice(0, 300))}`],
    )
    .join(", ");
}
