// ⚡ uses: file system, chance, process
/** A customer key in a file that only its owner can read. docs/format/store.md, "Key file". */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, unlink, type FileHandle } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { errnoOf, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { SMALL_FILE_BYTES_MAX } from "../base/limit.ts";
import { giveNewName } from "../base/new-name.ts";
import {
  asCustomerKey,
  CUSTOMER_KEY_BYTES,
  parseCustomerKey,
  showCustomerKey,
  type CustomerKey,
} from "./customer-key.ts";
import { keyringOf, type Keyring } from "./keyring.ts";

/** A keyring from a file, and whether this call made the file. */
export interface OpenedKeyring extends Keyring {
  readonly isNew: boolean;
}

const FORMAT = "lambda-img keyring";
const VERSION = 1;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/**
 * Reads the key file, or makes it with a fresh key where it is absent and `create` is true. Of processes that
 * race to make it one wins, and all use its key.
 * @throws KEY_NOT_FOUND; KEY_INVALID where it is no key file, or others than its owner may read or write it
 */
export async function openKeyringFile(
  path: string,
  options: { readonly create: boolean },
): Promise<OpenedKeyring> {
  const found = await readKey(path);
  if (found !== undefined) return { ...keyringOf(found), isNew: false };
  if (!options.create) throw new LambdaImgError("KEY_NOT_FOUND", `${path}: no key file`);
  const isNew = await createKey(path);
  const key = await readKey(path);
  if (key === undefined) throw new LambdaImgError("KEY_NOT_FOUND", `${path}: the key file was removed`);
  return { ...keyringOf(key), isNew };
}

async function readKey(path: string): Promise<CustomerKey | undefined> {
  let file: FileHandle;
  try {
    // Without O_NONBLOCK a named pipe in the file's place would stop us for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw fileError(error, `${path}: cannot read the key file`);
  }
  try {
    const status = await file.stat();
    if (!status.isFile()) throw invalid(path, "expected a regular file");
    // As ssh does: a key that others could have read is no secret, and the owner should hear of it.
    if (isOpenToOthers(status.mode)) {
      const found = (status.mode & 0o777).toString(8).padStart(4, "0");
      throw invalid(path, `expected mode 0600, found ${found}`);
    }
    if (status.size > SMALL_FILE_BYTES_MAX) throw invalid(path, "it is too large for a key file");
    return parseKeyFile(await file.readFile("utf8"), path);
  } catch (error) {
    throw fileError(error, `${path}: cannot read the key file`);
  } finally {
    await file.close();
  }
}

function isOpenToOthers(mode: number): boolean {
  return process.platform !== "win32" && (mode & 0o077) !== 0;
}

function parseKeyFile(text: string, path: string): CustomerKey {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(path, "expected JSON"); // The parser's message quotes the text, and with it the key.
  }
  if (typeof value !== "object" || value === null) throw invalid(path, "expected an object");
  const members = new Map<string, unknown>(Object.entries(value));
  if (members.get("format") !== FORMAT) throw invalid(path, `expected format "${FORMAT}"`);
  const version = members.get("version");
  if (version !== VERSION) throw invalid(path, `expected version ${VERSION}`);
  if (members.size !== 3) throw invalid(path, "expected format, version and key, and nothing else");
  const keyText = members.get("key");
  const key = typeof keyText === "string" ? parseCustomerKey(keyText) : undefined;
  if (key === undefined) throw invalid(path, "expected a key of 32 bytes in base64");
  return key;
}

/** True where this call made the file. */
async function createKey(path: string): Promise<boolean> {
  const directory = dirname(resolve(path));
  const temporary = `${resolve(path)}.${process.pid}-${randomBytes(8).toString("hex")}.tmp`;
  try {
    await makeDirectories(directory);
    try {
      await writePrivately(temporary, keyFileText(asCustomerKey(randomBytes(CUSTOMER_KEY_BYTES))), path);
      await giveNewName(temporary, path); // No reader sees half a key.
    } finally {
      await unlink(temporary).catch(() => undefined); // It may not exist; a failure above is what counts.
    }
    await syncDirectory(directory);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw fileError(error, `${path}: cannot make the key file`);
  }
}

function keyFileText(key: CustomerKey): string {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, key: showCustomerKey(key) })}\n`;
}

/** Makes a file that only its owner can read; `name` is the name that it is to have. */
async function writePrivately(temporary: string, text: string, name: string): Promise<void> {
  const file = await open(temporary, "wx", FILE_MODE);
  try {
    // The umask can only take bits away; with an odd one even the owner could not read the key again.
    await file.chmod(FILE_MODE);
    if (isOpenToOthers((await file.stat()).mode)) {
      throw new LambdaImgError(
        "KEY_INVALID",
        `${name}: cannot make the key file: expected a file system that keeps mode 0600, found one that does not, ` +
          "so that others could read the key; --key names another place",
      );
    }
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Node's own recursive mkdir reports a read-only file system as ENOENT. */
async function makeDirectories(directory: string): Promise<void> {
  if (await isMade(directory)) return;
  await makeDirectories(dirname(directory));
  if (await isMade(directory)) return;
  // A link to nowhere: it is there for mkdir and not there for what is below it.
  throw new LambdaImgError("KEY_INVALID", `${directory}: cannot make the directory`);
}

/** Makes the directory; false where that above it is missing. */
async function isMade(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: DIRECTORY_MODE });
  } catch (error) {
    if (errnoOf(error) === "ENOENT" && dirname(directory) !== directory) return false;
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  return true;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function fileError(error: unknown, what: string): unknown {
  if (isLambdaImgError(error) || errnoOf(error) === "") return error;
  return new LambdaImgError("KEY_INVALID", `${what}: ${errnoOf(error)}`, { cause: error });
}

function invalid(path: string, rule: string): LambdaImgError {
  return new LambdaImgError("KEY_INVALID", `${path}: invalid key file: ${rule}`, { details: { path } });
}
