/** One entry from its header block and all extended headers before it: who overrides whom. */
import type { ByteString } from "../base/bytes.ts";
import { asByteString, showByteString } from "../base/bytes.ts";
import type { TarPlace } from "./_error.ts";
import { tarError, tarInvalid } from "./_error.ts";
import type { HeaderField, HeaderFormat } from "./_header.ts";
import { HEADER_FIELDS, TYPEFLAG_OFFSET, headerFormat, headerPath, headerText } from "./_header.ts";
import { parseDecimal, parseField, parsePaxTime, showNumber } from "./_number.ts";
import type { PaxHeader, PaxKey } from "./_pax.ts";
import { checkPathLength } from "./_pax.ts";
import { SparseMap, checkedFileSize, parseSparseList } from "./_sparse.ts";
import type { TarEntry, TarEntryType, Timestamp } from "./entry.ts";

/** What stands before an entry and changes it. */
export interface Extensions {
  /** Records of the last "x" header. */
  readonly local: PaxHeader | undefined;
  /** Records of all "g" headers so far. */
  readonly global: PaxHeader | undefined;
  /** GNU "L" and "K". */
  readonly longPath: ByteString | undefined;
  readonly longLink: ByteString | undefined;
}

/** An entry whose sparse map may still have to be read. */
export interface EntryDraft {
  readonly entry: TarEntry;
  /** Bytes of the body in the archive, a PAX 1.0 sparse map included. */
  readonly storedBytes: number;
  readonly sparse: SparseMap | undefined;
  /** Where the rest of the map is: in old GNU blocks after the header, or at the body's start. */
  readonly mapFollows: "none" | "old-blocks" | "body";
}

const FILE_TYPES: Readonly<Record<string, TarEntryType>> = {
  "\0": "file",
  "0": "file",
  // POSIX: contiguous files are regular ones where the system knows no others.
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "dir",
  "6": "fifo",
};

const ID_MAX = 2 ** 32 - 1;
const NO_BYTES: ByteString = asByteString("");

/** @throws TAR_INVALID, FILE_TYPE_UNSUPPORTED, FILE_TOO_LARGE, PATH_TOO_LONG, DOCUMENT_TOO_LARGE */
export function readEntry(block: Uint8Array, extensions: Extensions, place: TarPlace): EntryDraft {
  const format = headerFormat(block);
  const typeflag = String.fromCharCode(block[TYPEFLAG_OFFSET] ?? 0);
  const path = readPath(block, format, extensions, place);
  const reader: FieldReader = { block, extensions, place, path };
  const type = entryType(typeflag, path);
  if (type === undefined || (typeflag === "S" && format !== "gnu")) {
    throw unsupportedType(typeflag, path, place);
  }
  // Go's reader and GNU tar for hard links: what is no file has no body, whatever its size says; old tars gave a
  // directory's or a link's own size there. (pax -o linkdata stores data with hard links; no layer writer does, and
  // its data then fails as a header, loudly.)
  const storedBytes = type === "file" ? readSize(reader) : 0;
  const sparse = readSparse(reader, type, typeflag);
  const isDevice = (type === "char" || type === "block") && format !== "v7";
  const entry: TarEntry = {
    path,
    type,
    // Only permission bits: old tars put the file's type above them.
    mode: readMode(reader) & 0o7777,
    uid: readId(reader, "uid", HEADER_FIELDS.uid),
    gid: readId(reader, "gid", HEADER_FIELDS.gid),
    mtime: readTime(reader),
    sizeBytes: sparse ? sparse.sizeBytes : storedBytes,
    linkTarget: type === "symlink" || type === "hardlink" ? readLink(reader) : NO_BYTES,
    deviceMajor: isDevice ? readId(reader, "SCHILY.devmajor", HEADER_FIELDS.devmajor) : 0,
    deviceMinor: isDevice ? readId(reader, "SCHILY.devminor", HEADER_FIELDS.devminor) : 0,
    xattrs: mergeXattrs(extensions),
    sparseRegions: undefined,
  };
  return { entry, storedBytes, sparse: sparse?.map, mapFollows: sparse?.follows ?? "none" };
}

interface FieldReader {
  readonly block: Uint8Array;
  readonly extensions: Extensions;
  readonly place: TarPlace;
  readonly path: ByteString;
}

/**
 * The value of a PAX key, or `undefined` where the header's field counts. POSIX: local values override global ones,
 * and an empty value deletes both; that the header's field then counts is how Go and GNU tar read it.
 */
function paxText(extensions: Extensions, key: PaxKey): ByteString | undefined {
  const text = extensions.local?.texts.get(key) ?? extensions.global?.texts.get(key);
  return text === "" ? undefined : text;
}

/** Go's order, where a writer mixes: GNU.sparse.name, GNU long name, PAX path, header. */
function readPath(
  block: Uint8Array,
  format: HeaderFormat,
  extensions: Extensions,
  place: TarPlace,
): ByteString {
  const path =
    paxText(extensions, "GNU.sparse.name") ??
    extensions.longPath ??
    paxText(extensions, "path") ??
    headerPath(block, format);
  if (path === "") throw tarInvalid(place, "path: expected one, found none");
  checkPathLength(path.length, () => "path", place);
  return path;
}

function readLink(reader: FieldReader): ByteString {
  const { block, extensions, place } = reader;
  const target =
    extensions.longLink ?? paxText(extensions, "linkpath") ?? headerText(block, HEADER_FIELDS.linkname);
  checkPathLength(target.length, () => `link target of "${showByteString(reader.path)}"`, place);
  return target;
}

/**
 * v7 had no directories but names ending in a slash. With typeflag "0" such a name stays a file's, as Go's reader (so
 * Docker, containerd, umoci) has it; its body is then not lost. GNU tar makes a directory of it.
 */
function entryType(typeflag: string, path: ByteString): TarEntryType | undefined {
  if (typeflag === "\0" && path.endsWith("/")) return "dir";
  return Object.hasOwn(FILE_TYPES, typeflag) ? FILE_TYPES[typeflag] : undefined;
}

function unsupportedType(typeflag: string, path: ByteString, place: TarPlace): Error {
  const shown = showByteString(asByteString(typeflag));
  // star's "S" is not GNU's: same letter, other layout.
  const message = `type of "${showByteString(path)}": expected one of 0 1 2 3 4 5 6 7 S(GNU), found ${shown}`;
  return tarError(place, "FILE_TYPE_UNSUPPORTED", message, { type: shown });
}

/** The number of a PAX key, or else of the header's field. */
function readNumber(reader: FieldReader, key: PaxKey, field: HeaderField): number {
  const text = paxText(reader.extensions, key);
  return text === undefined ? parseField(reader.block, field.offset, field.sizeBytes) : parseDecimal(text);
}

function readSize(reader: FieldReader): number {
  return checkedFileSize(readNumber(reader, "size", HEADER_FIELDS.size), reader.path, reader.place);
}

/** Ids and device numbers must never wrap: 2^32 would become 0, which is root. */
function readId(reader: FieldReader, key: PaxKey, field: HeaderField): number {
  const value = readNumber(reader, key, field);
  if (value >= 0 && value <= ID_MAX) return value;
  throw fieldInvalid(reader, key.replace("SCHILY.", ""), `0 to ${ID_MAX}`, showNumber(value));
}

function readMode(reader: FieldReader): number {
  const { offset, sizeBytes } = HEADER_FIELDS.mode;
  const value = parseField(reader.block, offset, sizeBytes);
  if (value >= 0 && value <= ID_MAX) return value;
  throw fieldInvalid(reader, "mode", "an octal number", showNumber(value));
}

function readTime(reader: FieldReader): Timestamp {
  const text = paxText(reader.extensions, "mtime");
  const { offset, sizeBytes } = HEADER_FIELDS.mtime;
  if (text === undefined) {
    const seconds = parseField(reader.block, offset, sizeBytes);
    if (Number.isSafeInteger(seconds)) return { seconds, nanoseconds: 0 };
    throw fieldInvalid(reader, "mtime", "seconds below 2^53", showNumber(seconds));
  }
  const time = parsePaxTime(text);
  if (time) return time;
  throw fieldInvalid(reader, "mtime", "decimal seconds below 2^53", `"${showByteString(text)}"`);
}

function fieldInvalid(reader: FieldReader, field: string, expected: string, found: string): Error {
  return tarInvalid(
    reader.place,
    `${field} of "${showByteString(reader.path)}": expected ${expected}, found ${found}`,
  );
}

function mergeXattrs(extensions: Extensions): ReadonlyMap<ByteString, Uint8Array> | undefined {
  const local = extensions.local?.xattrs;
  const global = extensions.global?.xattrs;
  if (!global?.size) return local?.size ? local : undefined;
  return local?.size ? new Map([...global, ...local]) : global;
}

interface SparsePlan {
  readonly map: SparseMap;
  readonly sizeBytes: number;
  readonly follows: EntryDraft["mapFollows"];
}

/** What the headers say of the entry as a sparse file; `undefined` for a dense one. */
function readSparse(reader: FieldReader, type: TarEntryType, typeflag: string): SparsePlan | undefined {
  if (typeflag === "S") return readOldSparse(reader);
  if (!reader.extensions.local) return undefined;
  const form = sparseForm(reader);
  if (form === undefined) return undefined;
  if (type !== "file") throw fieldInvalid(reader, "GNU.sparse", "a regular file", type);
  const text = (key: PaxKey): ByteString | undefined => paxText(reader.extensions, key);
  // GNU.sparse.size is 0.0 and 0.1, GNU.sparse.realsize 1.0; Go's reader takes either for both.
  const size = text("GNU.sparse.size") ?? text("GNU.sparse.realsize");
  const sizeBytes = checkedFileSize(size === undefined ? NaN : parseDecimal(size), reader.path, reader.place);
  const map = new SparseMap(reader.place, reader.path, sizeBytes);
  if (form === "1.0") return { map, sizeBytes, follows: "body" };
  const list = text("GNU.sparse.map");
  const numbers = list === undefined ? reader.extensions.local.sparseNumbers : parseSparseList(list);
  const count = text("GNU.sparse.numblocks");
  map.addNumbers(numbers, count === undefined ? numbers.length / 2 : parseDecimal(count));
  return { map, sizeBytes, follows: "none" };
}

/** 0.0 and 0.1 came before the version records, and are known by their size record. */
function sparseForm(reader: FieldReader): "0.x" | "1.0" | undefined {
  const major = paxText(reader.extensions, "GNU.sparse.major");
  const minor = paxText(reader.extensions, "GNU.sparse.minor");
  if (major === "1" && minor === "0") return "1.0";
  if (major === "0" && (minor === "0" || minor === "1")) return "0.x";
  if (major === undefined && minor === undefined) {
    const isSparse =
      paxText(reader.extensions, "GNU.sparse.size") ?? paxText(reader.extensions, "GNU.sparse.map");
    return isSparse === undefined ? undefined : "0.x";
  }
  const found = showByteString(asByteString(`${major ?? ""}.${minor ?? ""}`));
  const message = `sparse map of "${showByteString(reader.path)}": expected version 0.0, 0.1 or 1.0, found ${found}`;
  throw tarError(reader.place, "FILE_TYPE_UNSUPPORTED", message);
}

/** Old GNU: four pairs in the header, a mark that blocks of more follow, and the real size. */
function readOldSparse(reader: FieldReader): SparsePlan {
  const { offset, sizeBytes: fieldBytes } = HEADER_FIELDS.gnuRealsize;
  const sizeBytes = checkedFileSize(parseField(reader.block, offset, fieldBytes), reader.path, reader.place);
  const map = new SparseMap(reader.place, reader.path, sizeBytes);
  map.addFields(reader.block, 386, 4);
  return { map, sizeBytes, follows: reader.block[482] === 0 ? "none" : "old-blocks" };
}
