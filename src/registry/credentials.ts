// ⚡ uses: Buffer, file system
/**
 * Who we are to a registry, from where Docker, Podman and CI keep it: docker's config.json (docker/cli,
 * cli/config/configfile) and containers-auth.json(5).
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import { askCredentialProgram } from "./credential-program.ts";
import { parseObject, stringIn, objectIn } from "./_json.ts";
import { CREDENTIALS_FILE_BYTES_MAX } from "./_limit.ts";
import { DOCKER_HUB } from "./reference.ts";

/** What a login is. */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, which a token server changes for others. */
  | { readonly kind: "identity"; readonly token: string }
  /** A token that goes to the registry as it is. */
  | { readonly kind: "bearer"; readonly token: string };

/** Where to look. */
export interface CredentialPlaces {
  /** The environment: REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, and what programs need. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Empty where there is none. */
  readonly homeDirectory: string;
}

/**
 * The login for a repository: the first file that has one, and in it the entry that names most of the repository's
 * path. `undefined` where there is none.
 * @throws CREDENTIALS_INVALID
 */
export async function findCredentials(
  target: { readonly registry: string; readonly repository: string },
  places: CredentialPlaces,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  for (const { path, isRequired } of credentialFiles(places)) {
    const text = await readText(path, isRequired);
    if (text === undefined) continue;
    const file: CredentialFile = { path, content: parseFile(text, path) };
    const found = await findIn(file, target, { places, signal });
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * A login given by name and password.
 * @throws CREDENTIALS_INVALID for a name with a colon, which Basic cannot carry (RFC 7617 2)
 */
export function passwordLogin(username: string, password: string, where: string): Credentials {
  if (username.includes(":")) throw invalid(where, "a user name has no colon");
  if (/[\x00-\x1f\x7f]/.test(username + password)) {
    throw invalid(where, "user names and passwords have no control characters");
  }
  return { kind: "password", username, password };
}

/** The value of an Authorization field for name and password (RFC 7617), in UTF-8. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

interface CredentialFile {
  readonly path: string;
  readonly content: Readonly<Record<string, unknown>>;
}

interface Target {
  readonly registry: string;
  readonly repository: string;
}

interface Search {
  readonly places: CredentialPlaces;
  readonly signal: AbortSignal | undefined;
}

/** Podman's order; a file that REGISTRY_AUTH_FILE names is the only one. */
function credentialFiles(
  places: CredentialPlaces,
): readonly { readonly path: string; readonly isRequired: boolean }[] {
  const { variables, homeDirectory } = places;
  const named = variables["REGISTRY_AUTH_FILE"] ?? "";
  if (named !== "") return [{ path: named, isRequired: true }];
  const runtime = variables["XDG_RUNTIME_DIR"] ?? "";
  const config = variables["XDG_CONFIG_HOME"] ?? "";
  const docker = variables["DOCKER_CONFIG"] ?? "";
  // Without a home directory these would be relative, and mean files of the current directory.
  const inHome = (name: string): string => (homeDirectory === "" ? "" : join(homeDirectory, name));
  const folders = [
    [runtime, "containers/auth.json"],
    [config === "" ? inHome(".config") : config, "containers/auth.json"],
    [docker === "" ? inHome(".docker") : docker, "config.json"],
  ] as const;
  return folders
    .filter(([folder]) => folder !== "")
    .map(([folder, name]) => ({ path: join(folder, name), isRequired: false }));
}

async function readText(path: string, isRequired: boolean): Promise<string | undefined> {
  try {
    if ((await stat(path)).size > CREDENTIALS_FILE_BYTES_MAX) throw invalid(path, "the file is too large");
    return await readFile(path, "utf8");
  } catch (cause) {
    if (!(cause instanceof Error) || !("code" in cause) || cause instanceof LambdaImgError) throw cause;
    const code = String(cause.code);
    const isAbsent = code === "ENOENT" || code === "ENOTDIR";
    if (isAbsent && !isRequired) return undefined;
    throw invalid(path, isAbsent ? "there is no such file" : `it cannot be read (${code})`);
  }
}

function parseFile(text: string, path: string): Readonly<Record<string, unknown>> {
  if (text.trim() === "") return {};
  const content = parseObject(text);
  if (content === undefined) throw invalid(path, "it is no JSON object");
  return content;
}

async function findIn(
  file: CredentialFile,
  target: Target,
  search: Search,
): Promise<Credentials | undefined> {
  const names = serverNames(target.registry);
  const programs = objectIn(file.content, "credHelpers");
  for (const name of names) {
    const program = programs === undefined ? undefined : stringIn(programs, name);
    if (program === undefined || program === "") continue;
    const found = await ask(file, program, { names: [...new Set([name, ...names])], search });
    if (found !== undefined) return found;
  }
  const inFile = findEntry(file, target);
  const store = stringIn(file.content, "credsStore");
  if (inFile !== undefined || store === undefined || store === "") return inFile;
  return ask(file, store, { names, search });
}

async function ask(
  file: CredentialFile,
  program: string,
  options: { readonly names: readonly string[]; readonly search: Search },
): Promise<Credentials | undefined> {
  const { places, signal } = options.search;
  for (const server of options.names) {
    const where = `${file.path}: ${program}`;
    const answer = await askCredentialProgram({ program, server, where }, places.variables, signal);
    if (answer === undefined) continue;
    // The protocol's mark of a secret that is an identity token (docker-credential-helpers, README).
    if (answer.username === "<token>") return { kind: "identity", token: answer.secret };
    return passwordLogin(answer.username, answer.secret, where);
  }
  return undefined;
}

/** A registry's names in files and programs; docker knows its own hub by a URL. */
function serverNames(registry: string): readonly string[] {
  if (registry !== DOCKER_HUB) return [registry];
  return ["https://index.docker.io/v1/", DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];
}

/** Keys are hosts, hosts with the beginning of a path (podman), or URLs (docker's older versions). */
function findEntry(file: CredentialFile, target: Target): Credentials | undefined {
  const entries = objectIn(file.content, "auths");
  if (entries === undefined) return undefined;
  const byKey = new Map<string, string>();
  for (const key of Object.keys(entries)) {
    const plain = key.replace(/^https?:\/\//i, "").replace(/\/(?:v[12]\/?)?$/, "");
    // A key as it is goes before one that is only meant so.
    if (key === plain || !byKey.has(plain)) byKey.set(plain, key);
  }
  const parts = target.repository.split("/");
  for (let count = parts.length; count >= 0; count--) {
    for (const name of serverNames(target.registry)) {
      const host = name.replace(/^https:\/\/([^/]+)\/.*$/, "$1");
      const key = byKey.get([host, ...parts.slice(0, count)].join("/"));
      const entry = key === undefined ? undefined : objectIn(entries, key);
      const found =
        entry === undefined ? undefined : readEntry(entry, `${file.path}: auths[${JSON.stringify(key)}]`);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

function readEntry(entry: Readonly<Record<string, unknown>>, where: string): Credentials | undefined {
  const registryToken = stringIn(entry, "registrytoken") ?? "";
  if (registryToken !== "") return { kind: "bearer", token: checkToken(registryToken, where) };
  const identityToken = stringIn(entry, "identitytoken") ?? "";
  if (identityToken !== "") return { kind: "identity", token: checkToken(identityToken, where) };
  const encoded = stringIn(entry, "auth") ?? "";
  if (encoded === "") {
    const username = stringIn(entry, "username") ?? "";
    if (username === "") return undefined;
    return passwordLogin(username, stringIn(entry, "password") ?? "", where);
  }
  const bytes = Buffer.from(encoded, "base64");
  // Some tools pad the password with NUL; docker cuts them off.
  const text = bytes.toString("utf8").replace(/\0+$/, "");
  const colon = text.indexOf(":");
  if (!/^[A-Za-z0-9+/_-]+=*\s*$/.test(encoded) || colon < 1) {
    throw invalid(where, "auth is not name:password in base64");
  }
  return passwordLogin(text.slice(0, colon), text.slice(colon + 1), where);
}

function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw invalid(where, "a token has characters that no token has");
}

function invalid(where: string, why: string): LambdaImgError {
  return new LambdaImgError("CREDENTIALS_INVALID", `credentials: ${where}: ${why}`);
}
