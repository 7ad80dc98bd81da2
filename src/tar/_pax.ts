/**
 * PAX extended headers (POSIX.1-2017 pax, "pax Extended Header"): records `<length> <key>=<value>\n`, where length
 * counts the bytes of the whole record. Keys and values are bytes, whatever `hdrcharset` says: names on Linux are.
 */
import type { ByteString } from "../base/bytes.ts";
import { asByteString, copyOf, showByteString, toByteString } from "../base/bytes.ts";
import { PATH_BYTES_MAX } from "../base/limit.ts";
import type { TarPlace } from "./_error.ts";
import { tarError, tarInvalid } from "./_error.ts";
import { parseDecimal } from "./_number.ts";

/** Records that count besides extended attributes, and what their values are. */
const TEXT_KEYS = {
  path: "path",
  linkpath: "path",
  size: "number",
  uid: "number",
  gid: "number",
  mtime: "number",
  "SCHILY.devmajor": "number",
  "SCHILY.devminor": "number",
  "GNU.sparse.major": "number",
  "GNU.sparse.minor": "number",
  "GNU.sparse.size": "number",
  "GNU.sparse.realsize": "number",
  "GNU.sparse.numblocks": "number",
  "GNU.sparse.name": "path",
  "GNU.sparse.map": "list",
} as const;

/** The key of a record that counts. */
export type PaxKey = keyof typeof TEXT_KEYS;

/** What one or more extended headers say. */
export interface PaxHeader {
  /** The last value of each key; empty where the record deletes it. */
  readonly texts: ReadonlyMap<PaxKey, ByteString>;
  /** Extended attributes in order of first appearance. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** GNU sparse 0.0: values of GNU.sparse.offset and GNU.sparse.numbytes by turns. */
  readonly sparseNumbers: readonly number[];
}

/** Digits of a number with sign and fraction: far more than any writer's, few enough to read again for each entry. */
const NUMBER_BYTES_MAX = 256;
/** Attributes of a global header: they are copied to each entry that has its own, so they must be few. */
const GLOBAL_XATTR_COUNT_MAX = 1000;

const SCHILY_XATTR = "SCHILY.xattr.";
const LIBARCHIVE_XATTR = "LIBARCHIVE.xattr.";

interface Draft {
  readonly texts: Map<PaxKey, ByteString>;
  readonly xattrs: Map<ByteString, Uint8Array>;
  readonly schilyNames: Set<ByteString>;
  readonly sparseNumbers: number[];
}

/**
 * Parses a whole extended header; keeps no view of `bytes`.
 * @throws TAR_INVALID, PATH_TOO_LONG
 */
export function parsePax(bytes: Uint8Array, place: TarPlace): PaxHeader {
  const draft: Draft = { texts: new Map(), xattrs: new Map(), schilyNames: new Set(), sparseNumbers: [] };
  let at = 0;
  while (at < bytes.length) {
    const keyAt = skipLength(bytes, at);
    const sizeBytes = recordLength(bytes, at, keyAt);
    const end = at + sizeBytes;
    // The shortest record is "5 k=\n"; the length must lie in the header and end at a line feed.
    if (!(end <= bytes.length) || end < keyAt + 3 || bytes[end - 1] !== LINE_FEED) {
      throw tarInvalid(
        place,
        `PAX record at byte ${at}: expected a length that ends at a line feed, found ${showByteString(toByteString(bytes.subarray(at, keyAt)))}`,
      );
    }
    const equals = bytes.subarray(0, end - 1).indexOf(EQUALS, keyAt);
    if (equals <= keyAt) throw tarInvalid(place, `PAX record at byte ${at}: expected key=value, found none`);
    const key = toByteString(bytes.subarray(keyAt, equals));
    takeRecord(draft, key, bytes.subarray(equals + 1, end - 1), place);
    at = end;
  }
  return draft;
}

const LINE_FEED = 0x0a;
const EQUALS = 0x3d;
const SPACE = 0x20;

/** The offset after the record's length and space, or after the byte that is neither. */
function skipLength(bytes: Uint8Array, at: number): number {
  let next = at;
  while (next < bytes.length && isDigit(bytes[next] ?? 0)) next++;
  return Math.min(next + 1, bytes.length);
}

/** The record's length; NaN where it has none. */
function recordLength(bytes: Uint8Array, at: number, keyAt: number): number {
  if (keyAt - at < 2 || bytes[keyAt - 1] !== SPACE) return NaN;
  let value = 0;
  for (let i = at; i < keyAt - 1; i++) value = value * 10 + ((bytes[i] ?? 0) - 0x30);
  return value; // Of too many digits it is imprecise, but then it is far beyond any header.
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function takeRecord(draft: Draft, key: ByteString, value: Uint8Array, place: TarPlace): void {
  if (isTextKey(key)) {
    draft.texts.set(key, checkedText(key, value, place));
  } else if (key.startsWith(SCHILY_XATTR)) {
    const name = checkedXattrName(asByteString(key.slice(SCHILY_XATTR.length)), place);
    draft.xattrs.set(name, copyOf(value));
    draft.schilyNames.add(name);
  } else if (key.startsWith(LIBARCHIVE_XATTR)) {
    // libarchive writes both forms: this one text-safe, the other exact. The exact one counts.
    const name = checkedXattrName(percentDecode(key.slice(LIBARCHIVE_XATTR.length)), place);
    if (!draft.schilyNames.has(name)) draft.xattrs.set(name, base64Decode(value, name, place));
  } else if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
    const isOffset = draft.sparseNumbers.length % 2 === 0;
    if ((key === "GNU.sparse.offset") !== isOffset) {
      throw tarInvalid(place, `PAX ${key}: expected offset and numbytes by turns, found two of one`);
    }
    draft.sparseNumbers.push(parseDecimal(toByteString(value.subarray(0, NUMBER_BYTES_MAX))));
  }
  // POSIX: unknown keys are ignored. SCHILY.acl.* too: it is the text form of system.posix_acl_* attributes, with
  // user names that an image need not know; container tools write the binary attributes.
}

function isTextKey(key: string): key is PaxKey {
  return Object.hasOwn(TEXT_KEYS, key);
}

function checkedText(key: PaxKey, value: Uint8Array, place: TarPlace): ByteString {
  const form = TEXT_KEYS[key];
  if (form === "path") {
    // No Linux file name holds a NUL: a reader that cuts there and one that does not see two different paths.
    const nulAt = value.indexOf(0);
    if (nulAt >= 0) throw tarInvalid(place, `PAX ${key}: expected no NUL, found one at byte ${nulAt}`);
    checkPathLength(value.length, () => `PAX ${key}`, place);
  } else if (form === "number" && value.length > NUMBER_BYTES_MAX) {
    throw tarInvalid(place, `PAX ${key}: expected a number, found ${value.length} bytes`);
  }
  return toByteString(value);
}

/** `what` is asked only where it is needed: what names a path costs more than reading the rest of its entry. @throws PATH_TOO_LONG */
export function checkPathLength(sizeBytes: number, what: () => string, place: TarPlace): void {
  if (sizeBytes <= PATH_BYTES_MAX) return;
  const message = `${what()}: expected at most ${PATH_BYTES_MAX} bytes, found ${sizeBytes}`;
  throw tarError(place, "PATH_TOO_LONG", message, { limitBytes: PATH_BYTES_MAX, foundBytes: sizeBytes });
}

function checkedXattrName(name: ByteString, place: TarPlace): ByteString {
  if (name !== "" && !name.includes("\0")) return name;
  throw tarInvalid(
    place,
    `PAX extended attribute: expected a name without NUL, found "${showByteString(name)}"`,
  );
}

/** libarchive url_decode: `%XX` is a byte, anything else is itself. */
function percentDecode(text: string): ByteString {
  return asByteString(
    text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
  );
}

/** libarchive writes base64 without padding; with it is read too. */
function base64Decode(value: Uint8Array, name: ByteString, place: TarPlace): Uint8Array {
  const text = toByteString(value);
  if (/^[A-Za-z0-9+/]*={0,2}$/.test(text) && text.replace(/=+$/, "").length % 4 !== 1) {
    const decoded = atob(text.replace(/=+$/, ""));
    return Uint8Array.from(decoded, (character) => character.charCodeAt(0));
  }
  throw tarInvalid(
    place,
    `PAX LIBARCHIVE.xattr.${showByteString(name)}: expected base64, found something else`,
  );
}

/**
 * The global values after one more global header: a later one overrides, an empty one deletes.
 * @throws TAR_INVALID for sparse records; DOCUMENT_TOO_LARGE for too many attributes
 */
export function mergeGlobal(before: PaxHeader | undefined, added: PaxHeader, place: TarPlace): PaxHeader {
  const texts = new Map(before?.texts);
  for (const [key, value] of added.texts) {
    // A sparse map is of one file; no writer has ever put one here, and ignoring it would damage files.
    if (key.startsWith("GNU.sparse.")) throw tarInvalid(place, `global PAX ${key}: expected in "x" only`);
    if (value === "") texts.delete(key);
    else texts.set(key, value);
  }
  if (added.sparseNumbers.length > 0) {
    throw tarInvalid(place, `global PAX GNU.sparse.offset: expected in "x" only`);
  }
  const xattrs = new Map([...(before?.xattrs ?? []), ...added.xattrs]);
  if (xattrs.size > GLOBAL_XATTR_COUNT_MAX) {
    const message = `global PAX header: expected at most ${GLOBAL_XATTR_COUNT_MAX} extended attributes, found ${xattrs.size}`;
    throw tarError(place, "DOCUMENT_TOO_LARGE", message, { limit: GLOBAL_XATTR_COUNT_MAX });
  }
  return { texts, xattrs, sparseNumbers: [] };
}
