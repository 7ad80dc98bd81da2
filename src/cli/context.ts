// ⚡ uses: process
/** What every command works with: the store and the key, from options, environment or their usual places. */
import { homedir, userInfo } from "node:os";
import { join, resolve } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import type { Keyring } from "../crypto/keyring.ts";
import { openKeyringEnvironment } from "../crypto/keyring-environment.ts";
import { openKeyringFile } from "../crypto/keyring-file.ts";
import { openManifest } from "../crypto/manifest-seal.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import { parseManifestId, type ManifestId } from "../manifest/manifest-id.ts";
import { DirectoryStore } from "../store/directory-store.ts";
import { imageError } from "../store/image-error.ts";
import type { Output } from "./output.ts";

/** The options that every command has. */
export interface CommonOptions {
  readonly store?: string;
  readonly key?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** An open store and its customer's key. Close the store. */
export interface Context {
  readonly store: DirectoryStore;
  readonly keyring: Keyring;
}

/** Environment variable with the customer key itself, 32 bytes in base64. */
const KEY_VARIABLE = "LAMBDA_IMG_KEY";

/** Where the store is, unless an option says otherwise: XDG Base Directory Specification, data files. @throws USAGE_INVALID */
export function defaultStorePath(): string {
  return (
    variable("LAMBDA_IMG_STORE") ?? join(xdgDirectory("XDG_DATA_HOME", ".local/share"), "lambda-img", "store")
  );
}

/** Where the key file is, unless an option says otherwise: XDG configuration files. @throws USAGE_INVALID */
export function defaultKeyPath(): string {
  return (
    variable("LAMBDA_IMG_KEY_FILE") ??
    join(xdgDirectory("XDG_CONFIG_HOME", ".config"), "lambda-img", "key.json")
  );
}

/**
 * Opens store and key; with `create` makes what is missing, and says so.
 * @throws STORE_NOT_FOUND, STORE_INVALID, STORE_VERSION_UNSUPPORTED, STORE_FORBIDDEN, KEY_NOT_FOUND, KEY_INVALID
 */
export async function openContext(
  options: CommonOptions,
  use: { readonly create: boolean; readonly output: Output },
): Promise<Context> {
  const keyring = await openKeyring(options, use);
  const path = resolve(options.store ?? defaultStorePath());
  let store: DirectoryStore;
  try {
    store = await DirectoryStore.open(path, { create: false });
  } catch (error) {
    if (!use.create || !(error instanceof LambdaImgError) || error.code !== "STORE_NOT_FOUND") throw error;
    store = await DirectoryStore.open(path, { create: true });
    use.output.note(`made a new store: ${path}`);
  }
  return { store, keyring };
}

/** A manifest, opened. */
export interface OpenedManifest {
  readonly manifestId: ManifestId;
  readonly manifestBytes: number;
  readonly content: ManifestContent;
}

/**
 * The manifest that a name or a manifest id stands for, opened. Failures name the image.
 * @throws IMAGE_NOT_FOUND, MANIFEST_NOT_FOUND, MANIFEST_FORGED, MANIFEST_INVALID, DIGEST_MISMATCH, REFERENCE_INVALID,
 *   STORE_INVALID
 */
export async function openImageManifest(context: Context, image: string): Promise<OpenedManifest> {
  const { store, keyring } = context;
  const manifestId = parseManifestId(image) ?? (await store.getRef(keyring.customerId, image));
  return openManifestOf(context, { image, manifestId });
}

/** The same where it is known what the name stands for. */
export async function openManifestOf(
  { store, keyring }: Context,
  { image, manifestId }: { readonly image: string; readonly manifestId: ManifestId },
): Promise<OpenedManifest> {
  try {
    const bytes = await store.getManifest(keyring.customerId, manifestId);
    return { manifestId, manifestBytes: bytes.length, content: openManifest(bytes, keyring.customerKey()) };
  } catch (error) {
    throw imageError(error, image);
  }
}

async function openKeyring(
  options: CommonOptions,
  use: { readonly create: boolean; readonly output: Output },
): Promise<Keyring> {
  const value = variable(KEY_VARIABLE);
  if (options.key === undefined && value !== undefined) {
    return openKeyringEnvironment({ variable: KEY_VARIABLE, value });
  }
  const path = resolve(options.key ?? defaultKeyPath());
  const keyring = await openKeyringFile(path, { create: use.create });
  if (keyring.isNew) use.output.note(`made a new key: ${path} (keep it: without it no image can be opened)`);
  return keyring;
}

/** An empty variable is as good as none. */
function variable(name: string): string | undefined {
  const value = process.env[name];
  return value === "" ? undefined : value;
}

/** "All paths must be absolute": a relative one is as good as none. */
function xdgDirectory(name: string, fallback: string): string {
  const value = variable(name);
  if (value?.startsWith("/") === true) return value;
  const home = homeDirectory();
  if (home !== "") return join(home, fallback);
  throw new LambdaImgError(
    "USAGE_INVALID",
    `no home directory: neither HOME nor the system's list of users has one; set HOME or ${name}, or give --store and --key`,
  );
}

/** The user's home directory; empty where there is none, as for the made-up users that containers run as. */
export function homeDirectory(): string {
  try {
    // Where HOME is empty the password database knows the home directory.
    return homedir() || userInfo().homedir;
  } catch {
    return "";
  }
}
