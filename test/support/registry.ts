// ⚡ uses: Buffer, file system, process
/**
 * A real registry to pull from: Debian's docker-registry on loopback, filled by skopeo. Open to all, behind a
 * password (Basic), or behind a token server; with or without TLS.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { sign, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

import { startServer, type LoopbackServer, type ServerCertificate } from "./faulty-proxy.ts";
import { describeWith, run, tools } from "./judge.ts";

/** A login that the registries here take. */
export const LOGIN = { username: "puller", password: "pull-secret-4711" } as const;

/** The same for htpasswd, by bcrypt, which alone docker-registry takes. */
const HTPASSWD = "puller:$2y$04$.5sGVPsyHRsElJ6o6mK6dOHpOmuCAtd8r8VeOZiIOGAl4YDHJn9UC\n";

/** As `describe`, for tests that need a registry. */
export function describeWithRegistry(name: string, body: () => void): void {
  describeWith(["docker-registry", "skopeo", "openssl"], name, body);
}

/** True where openssl can make certificates. */
export const hasOpenssl: boolean = tools.openssl;

/** What a registry asks of those who pull. */
export type RegistryAccess =
  | { readonly kind: "open" }
  | { readonly kind: "basic" }
  | { readonly kind: "token"; readonly tokenServer: TokenServer };

/** A running registry. Stop it once. */
export interface RunningRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  stop(): Promise<void>;
}

/** Starts a registry over the folder's storage; several can share one. */
export async function startRegistry(
  folder: string,
  access: RegistryAccess,
  certificate?: ServerCertificate,
): Promise<RunningRegistry> {
  mkdirSync(folder, { recursive: true });
  const put = (name: string, text: string): string => {
    const file = path.join(folder, name);
    writeFileSync(file, text);
    return JSON.stringify(file);
  };
  const tls =
    certificate === undefined
      ? ""
      : `, tls: {certificate: ${put("tls.crt", certificate.cert)}, key: ${put("tls.key", certificate.key)}}`;
  const auth =
    access.kind === "open"
      ? ""
      : access.kind === "basic"
        ? `auth: {htpasswd: {realm: "the \\"registry\\"", path: ${put("htpasswd", HTPASSWD)}}}`
        : `auth: {token: {realm: "${access.tokenServer.realm}", service: "${TOKEN_SERVICE}", issuer: "${TOKEN_ISSUER}", rootcertbundle: ${put("token.crt", access.tokenServer.certificate.cert)}}}`;
  const config = put(
    `config-${access.kind}.yml`,
    `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${JSON.stringify(path.join(folder, "storage"))}}}
http: {addr: "127.0.0.1:0"${tls}}
${auth}
`,
  );
  const env = { PATH: process.env["PATH"] ?? "", OTEL_TRACES_EXPORTER: "none" };
  const child = spawn("docker-registry", ["serve", JSON.parse(config) as string], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const port = await listeningPort(child);
  return { host: `127.0.0.1:${port}`, stop: () => stop(child) };
}

function listeningPort(child: ChildProcess): Promise<string> {
  let said = "";
  return new Promise((resolve, reject) => {
    child.stderr?.on("data", (piece: Uint8Array) => {
      said = (said + Buffer.from(piece).toString()).slice(-20_000);
      const port = /listening on 127\.0\.0\.1:([0-9]+)/.exec(said)?.[1];
      if (port !== undefined) resolve(port);
    });
    child.on("error", reject);
    child.on("exit", () => {
      reject(new Error(`docker-registry did not start: ${said.slice(-2000)}`));
    });
  });
}

function stop(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => {
      resolve();
    });
    child.kill("SIGKILL");
  });
}

/** Has skopeo push an image of a layout, as others would. */
export async function pushLayout(layout: string, host: string, repository: string): Promise<void> {
  const words = ["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"];
  await run("skopeo", [...words, `oci:${layout}`, `docker://${host}/${repository}`]);
}

/** A certificate authority of our own, and a certificate of its for 127.0.0.1 and localhost. Needs openssl. */
export function makeCertificates(folder: string): {
  readonly ca: string;
  readonly server: ServerCertificate;
} {
  mkdirSync(folder, { recursive: true });
  const openssl = (...words: readonly string[]): void => {
    execFileSync("openssl", words, { cwd: folder, stdio: "ignore" });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt",
    "-days",
    "2",
    "-subj",
    "/CN=Test CA",
  );
  openssl("req", "-new", ...key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost");
  writeFileSync(
    path.join(folder, "san.cnf"),
    "subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:registry.test\n",
  );
  openssl(
    ...["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"],
    ...["-out", "server.crt", "-days", "2", "-extfile", "san.cnf"],
  );
  const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");
  return { ca: read("ca.crt"), server: { cert: read("server.crt"), key: read("server.key") } };
}

const TOKEN_SERVICE = "test registry";
const TOKEN_ISSUER = "test issuer";

/** A token server for docker-registry (distribution, "Token Authentication Implementation"). */
export interface TokenServer extends LoopbackServer {
  readonly realm: string;
  readonly certificate: ServerCertificate;
}

/** Starts one; tokens live for `seconds`. Without LOGIN it gives none, and it writes `access_token`, not `token`. */
export async function startTokenServer(
  certificate: ServerCertificate,
  use: { readonly seconds: number },
): Promise<TokenServer> {
  const server = await startServer((request, response) => {
    const { username, password } = LOGIN;
    const expected = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
    const query = new URL(request.url, "http://here").searchParams;
    const form = new URLSearchParams(request.body);
    const isRefresh = request.method === "POST" && form.get("refresh_token") === password;
    if (!isRefresh && request.headers.authorization !== expected) {
      response
        .writeHead(401)
        .end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "who are you" }] }));
      return;
    }
    const scopes = isRefresh ? (form.get("scope") ?? "").split(" ") : query.getAll("scope");
    const token = makeToken(scopes, certificate, use.seconds);
    response.end(JSON.stringify({ access_token: token, expires_in: use.seconds }));
  });
  return { ...server, realm: `${server.origin}/token?account=x`, certificate };
}

function makeToken(scopes: readonly string[], certificate: ServerCertificate, seconds: number): string {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const access = scopes.map((scope) => {
    const [type = "", name = "", actions = ""] = scope.split(":");
    return { type, name, actions: actions.split(",") };
  });
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    ...{ iss: TOKEN_ISSUER, sub: LOGIN.username, aud: TOKEN_SERVICE },
    ...{ iat: now, nbf: now - 60, exp: now + seconds, jti: String(now), access },
  };
  const x5c = [new X509Certificate(certificate.cert).raw.toString("base64")];
  const signed = `${encode({ typ: "JWT", alg: "ES256", x5c })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key: certificate.key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}
