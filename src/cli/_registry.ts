// ⚡ uses: Buffer, file system, process
/** How registries are reached, from options, standard input and environment; and what a pull would read. */
import { readFile, stat } from "node:fs/promises";

import { LambdaImgError } from "../base/error.ts";
import { SMALL_FILE_BYTES_MAX } from "../base/limit.ts";
import { MIB, showBytes } from "../base/units.ts";
import { showPlatform } from "../oci/platform.ts";
import type { RegistryOptions } from "../registry/registry-client.ts";
import type { OciImage } from "../source/oci-image.ts";
import type { ImageReference } from "../source/reference.ts";
import { homeDirectory } from "./context.ts";

/** The options as commander gives them. */
export interface RegistryCliOptions {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly insecureRegistry?: readonly string[];
  readonly ca?: readonly string[];
}

/** A file of all the world's certificate authorities has some 250 KB. */
const CA_FILE_BYTES_MAX = 4 * MIB;

/**
 * The options for the reference's registry; `undefined` where it is in none.
 * @throws USAGE_INVALID; the signal's reason
 */
export async function registryOptions(
  reference: ImageReference,
  options: RegistryCliOptions,
  signal: AbortSignal,
): Promise<RegistryOptions | undefined> {
  const { username, passwordStdin = false, insecureRegistry = [], ca = [] } = options;
  if (reference.kind !== "registry") {
    if (username === undefined && !passwordStdin && insecureRegistry.length + ca.length === 0)
      return undefined;
    throw usage("--username, --password-stdin, --insecure-registry and --ca are for images in registries");
  }
  if ((username !== undefined) !== passwordStdin) {
    throw usage("--username and --password-stdin go together; the password is read from standard input");
  }
  const certificateAuthorities: string[] = [];
  for (const path of ca) certificateAuthorities.push(await readCertificates(path));
  for (const host of insecureRegistry) {
    if (/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(host)) continue;
    throw usage(`--insecure-registry: expected HOST or HOST:PORT, found ${JSON.stringify(host)}`);
  }
  return {
    ...(username === undefined ? {} : { login: { username, password: await readPassword(signal) } }),
    certificateAuthorities,
    insecureHosts: insecureRegistry,
    variables: process.env,
    homeDirectory: homeDirectory(),
  };
}

/** What convert would pull. */
export function dryRun(
  image: OciImage,
  run: { readonly reference: ImageReference; readonly imageName: string },
): { readonly json: Readonly<Record<string, unknown>>; readonly text: string } {
  const { reference, imageName } = run;
  const platform = showPlatform(image.config.platform);
  const layers = image.layers.map(({ diffId, stored }) => ({
    diffId,
    digest: stored?.digest ?? null,
    sizeBytes: stored?.sizeBytes ?? null,
  }));
  // Layers that are there twice are read once.
  const sizes = new Map(layers.map(({ diffId, sizeBytes }) => [diffId, sizeBytes ?? 0]));
  const layerBytes = [...sizes.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  const { sourceDigest } = image;
  const json = {
    ...{ command: "convert", dryRun: true, name: imageName, reference: reference.text },
    ...{ sourceDigest, platform, layers, bytes: { pulled: image.pulledBytes(), layers: layerBytes } },
  };
  const text = [
    `${imageName}: would be converted from ${reference.text}`,
    `  source    ${sourceDigest} (${platform})`,
    ...layers.map(({ diffId, digest, sizeBytes }, layerIndex) => {
      const size = sizeBytes === null ? "size not known" : showBytes(sizeBytes);
      return `  layer ${layerIndex}   ${digest ?? diffId} (${size})`;
    }),
    `  in all    ${showBytes(layerBytes)} of layers; nothing was stored`,
    "",
  ].join("\n");
  return { json, text };
}

async function readCertificates(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > CA_FILE_BYTES_MAX) throw usage(`--ca: the file is too large: ${path}`);
    const text = await readFile(path, "latin1");
    if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
    throw usage(`--ca: expected certificates in PEM form: ${path}`);
  } catch (cause) {
    if (!(cause instanceof Error) || !("code" in cause) || cause instanceof LambdaImgError) throw cause;
    throw usage(`--ca: the file cannot be read (${String(cause.code)}): ${path}`);
  }
}

async function readPassword(signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) throw usage("--password-stdin: give the password by a pipe or file, not by hand");
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  signal.throwIfAborted();
  const stop = (): void => {
    process.stdin.destroy(signal.reason as Error); // Who should write there may never do so.
  };
  signal.addEventListener("abort", stop);
  try {
    for await (const piece of process.stdin as AsyncIterable<Uint8Array>) {
      sizeBytes += piece.length;
      if (sizeBytes > SMALL_FILE_BYTES_MAX) throw usage("--password-stdin: standard input is too long");
      pieces.push(piece);
    }
  } finally {
    signal.removeEventListener("abort", stop);
  }
  const password = Buffer.concat(pieces)
    .toString("utf8")
    .replace(/\r?\n$/, "");
  if (password === "") throw usage("--password-stdin: standard input is empty");
  return password;
}

function usage(message: string): LambdaImgError {
  return new LambdaImgError("USAGE_INVALID", message);
}
