// ⚡ uses: file system, chance, process
/** Makes and reads the files that say what a store is: store.json and root.json. docs/format/store.md. */
import { randomBytes } from "node:crypto";
import { link, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { errnoOf, LambdaImgError } from "../base/error.ts";
import { SMALL_FILE_BYTES_MAX } from "../base/limit.ts";
import { isWithoutHardLinks } from "../base/new-name.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import type { RootState } from "./store.ts";
import { makeDirectories, readFileChecked, syncPath, writeSynced } from "./_file.ts";

/** Directories of every root; those in them are made when they are needed. */
const ROOT_DIRECTORIES = ["chunks", "manifests", "refs", "tmp"];
const STORE_FORMAT = "lambda-img store";
const ROOT_FORMAT = "lambda-img root";
const VERSION = 1;
const ROOT_STATES = ["active", "retired", "expired", "deleted"] as const;
// Fixed, so that the same image and key give the same chunk names in every store with default settings.
const FIRST_ROOT: RootState = {
  rootId: "r0",
  state: "active",
  saltParameters: { rootId: "r0", epoch: 0, placement: "" },
};

/** A name for a temporary file or directory that no other process takes, on this host or another. */
export function uniqueName(): string {
  return `${process.pid}-${randomBytes(8).toString("hex")}`;
}

/**
 * True where the directory is a store.
 * @throws STORE_INVALID, STORE_VERSION_UNSUPPORTED
 */
export async function readStoreFile(directory: string): Promise<boolean> {
  const path = join(directory, "store.json");
  const bytes = await readSmallFile(path);
  if (bytes === undefined) return false;
  const members = parseFile(bytes, { path, format: STORE_FORMAT });
  if (members.get("chunkBytes") !== CHUNK_BYTES) throw invalid(path, `expected chunkBytes ${CHUNK_BYTES}`);
  return true;
}

/** True where nothing is there, or only what an interrupted creation leaves. */
export async function isBlank(directory: string): Promise<boolean> {
  const rootsDirectory = join(directory, "roots");
  return (
    (await hasOnly(directory, ["roots", "lost+found"], "store.json")) &&
    (await hasOnly(rootsDirectory, [FIRST_ROOT.rootId], undefined)) &&
    (await hasOnly(join(rootsDirectory, FIRST_ROOT.rootId), [...ROOT_DIRECTORIES, "root.json"], "root.json"))
  );
}

/**
 * Makes a store of a blank directory. Any number of processes may do it at once, and any of them may be killed:
 * every step is the same for all and is put if absent, and store.json, which makes it a store, comes last.
 */
export async function createStore(directory: string): Promise<void> {
  const root = join(directory, "roots", FIRST_ROOT.rootId);
  const firstMade = await makeDirectories(resolve(directory));
  for (const name of ROOT_DIRECTORIES) await makeDirectories(join(root, name));
  await putFile(join(root, "root.json"), {
    format: ROOT_FORMAT,
    version: VERSION,
    rootId: FIRST_ROOT.rootId,
    state: FIRST_ROOT.state,
    epoch: FIRST_ROOT.saltParameters.epoch,
    placement: FIRST_ROOT.saltParameters.placement,
  });
  for (const made of [root, dirname(root)]) await syncPath(made);
  await putFile(join(directory, "store.json"), {
    format: STORE_FORMAT,
    version: VERSION,
    chunkBytes: CHUNK_BYTES,
  });
  await syncPath(directory);
  if (firstMade !== undefined) await syncUpTo(resolve(directory), dirname(firstMade));
}

/**
 * All roots in byte order of their ids.
 * @throws STORE_INVALID, STORE_VERSION_UNSUPPORTED
 */
export async function readRoots(directory: string): Promise<readonly RootState[]> {
  const rootsDirectory = join(directory, "roots");
  const names = await readdir(rootsDirectory);
  const roots: RootState[] = [];
  for (const name of names.sort((left, right) => (left < right ? -1 : 1))) {
    if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(name)) continue; // Something else's, as lost+found.
    const path = join(rootsDirectory, name, "root.json");
    const bytes = await readSmallFile(path);
    if (bytes !== undefined) roots.push(parseRoot(bytes, { path, rootId: name }));
  }
  return roots;
}

/** The JSON object of one of the store's small files. */
export function parseSmallJson(bytes: Uint8Array, path: string): ReadonlyMap<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new LambdaImgError("STORE_INVALID", `${path}: expected JSON in UTF-8`, { cause: error });
  }
  if (typeof value !== "object" || value === null) throw invalid(path, "expected an object");
  return new Map<string, unknown>(Object.entries(value));
}

/** The bytes of one of the store's small files, or `undefined` where there is none. */
export function readSmallFile(path: string): Promise<Uint8Array | undefined> {
  return readFileChecked(path, (sizeBytes) => {
    if (sizeBytes > SMALL_FILE_BYTES_MAX) {
      throw invalid(path, `expected at most ${SMALL_FILE_BYTES_MAX} bytes, found ${sizeBytes}`);
    }
  });
}

function parseRoot(bytes: Uint8Array, place: { readonly path: string; readonly rootId: string }): RootState {
  const members = parseFile(bytes, { path: place.path, format: ROOT_FORMAT });
  const { rootId } = place;
  if (members.get("rootId") !== rootId) throw invalid(place.path, `expected rootId "${rootId}"`);
  const state = ROOT_STATES.find((known) => known === members.get("state"));
  if (state === undefined) throw invalid(place.path, `expected a state out of ${ROOT_STATES.join(", ")}`);
  const epoch = members.get("epoch");
  if (typeof epoch !== "number" || !Number.isSafeInteger(epoch) || epoch < 0) {
    throw invalid(place.path, "expected a whole number as epoch");
  }
  const placement = members.get("placement");
  if (typeof placement !== "string") throw invalid(place.path, "expected a string as placement");
  return { rootId, state, saltParameters: { rootId, epoch, placement } };
}

function parseFile(
  bytes: Uint8Array,
  expected: { readonly path: string; readonly format: string },
): ReadonlyMap<string, unknown> {
  const members = parseSmallJson(bytes, expected.path);
  if (members.get("format") !== expected.format) {
    throw invalid(expected.path, `expected format "${expected.format}"`);
  }
  const version = members.get("version");
  if (version === VERSION) return members;
  if (typeof version !== "number") throw invalid(expected.path, "expected a number as version");
  throw new LambdaImgError(
    "STORE_VERSION_UNSUPPORTED",
    `${expected.path}: unsupported version: expected ${VERSION}, found ${version}`,
    { details: { expected: VERSION, found: version } },
  );
}

async function hasOnly(
  directory: string,
  names: readonly string[],
  file: string | undefined,
): Promise<boolean> {
  let found: readonly string[];
  try {
    found = await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
    throw error;
  }
  const isTemporary = (name: string): boolean =>
    file !== undefined && name.startsWith(`${file}.`) && name.endsWith(".tmp");
  return found.every((name) => names.includes(name) || isTemporary(name));
}

/** Puts a small file if absent, whole and durably. */
async function putFile(path: string, value: Readonly<Record<string, string | number>>): Promise<void> {
  const temporary = `${path}.${uniqueName()}.tmp`;
  try {
    await writeSynced(temporary, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    await linkOrRename(temporary, path);
  } finally {
    await unlink(temporary).catch(() => undefined); // Gone where it was renamed or never made.
  }
}

/** link(2) never replaces what is there, so that a late creator cannot undo what happened to a root since. */
async function linkOrRename(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    if (!isWithoutHardLinks(error)) throw error;
    // Never empty, as with giveNewName: whoever opens the store reads it. A racing creator renames the same bytes.
    if ((await readSmallFile(to)) === undefined) await rename(from, to);
  }
}

/** fsync of `directory`'s parents up to `last`, which had the first of them put into it. */
async function syncUpTo(directory: string, last: string): Promise<void> {
  for (let at = directory; at !== last && at !== dirname(at); at = dirname(at)) await syncPath(dirname(at));
}

function invalid(path: string, rule: string): LambdaImgError {
  return new LambdaImgError("STORE_INVALID", `${path}: ${rule}`, { details: { path } });
}
