/**
 * Writes tar headers: ustar where it can say it all, a PAX extended header before it where it cannot (POSIX.1-2017 pax).
 * The same entry gives the same bytes. Tests, `export` and image builders read them back with TarParser.
 */
import type { ByteString } from "../base/bytes.ts";
import { asByteString, concatBytes, toByteString, utf8ByteString, writeByteString } from "../base/bytes.ts";
import { assert } from "../base/error.ts";
import type { HeaderField } from "./_header.ts";
import { BLOCK_BYTES, HEADER_FIELDS, TYPEFLAG_OFFSET } from "./_header.ts";
import type { SparseRegion, TarEntry, TarEntryType, Timestamp } from "./entry.ts";

/** The end-of-archive mark: two zero blocks. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK_BYTES);

/** The zeros after a body of `sizeBytes` bytes. */
export function tarPadding(sizeBytes: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/**
 * The entry's blocks up to its body, in fresh memory. A sparse file's (PAX GNU sparse 1.0) end with its map; the bytes
 * of its regions follow, then `tarPadding` of their sum. The path must be one that a tar can hold: not empty, no NUL.
 */
export function encodeTarEntry(entry: TarEntry): Uint8Array {
  assert(entry.path !== "" && !entry.path.includes("\0"), "a tar path is not empty and holds no NUL");
  assert(!entry.linkTarget.includes("\0"), "a link target holds no NUL");
  const map = entry.sparseRegions && encodeSparseMap(entry.sparseRegions, entry.sizeBytes);
  const bodyBytes =
    entry.sparseRegions?.reduce((sum, region) => sum + region.sizeBytes, 0) ?? entry.sizeBytes;
  const storedBytes = (map?.length ?? 0) + bodyBytes;
  const names = splitPath(entry.path);
  const records = concatBytes(
    ...paxRecords(entry, storedBytes, names !== undefined),
    ...sparseRecords(entry),
    ...xattrRecords(entry),
  );
  const header = encodeHeader(entry, storedBytes, map ? undefined : names);
  if (records.length === 0) return header;
  return concatBytes(
    encodePaxHeader(records.length),
    records,
    tarPadding(records.length),
    header,
    map ?? new Uint8Array(0),
  );
}

/**
 * The map of a sparse file of `sizeBytes` bytes as PAX GNU sparse 1.0 puts it before the body: whole blocks. An empty
 * region marks a hole at the end: GNU tar makes files no longer than their last region says.
 */
function encodeSparseMap(regions: readonly SparseRegion[], sizeBytes: number): Uint8Array {
  const numbers = regions.flatMap((region) => [region.offsetBytes, region.sizeBytes]);
  const last = regions.at(-1);
  const endBytes = last ? last.offsetBytes + last.sizeBytes : 0;
  if (!last || endBytes < sizeBytes) numbers.push(sizeBytes, 0);
  const text = asciiBytes([numbers.length / 2, ...numbers].map((value) => `${value}\n`).join(""));
  return concatBytes(text, tarPadding(text.length));
}

const TYPEFLAGS: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
};

const OCTAL_7_MAX = 8 ** 7 - 1;
const OCTAL_11_MAX = 8 ** 11 - 1;

/** Prefix and name of ustar; `undefined` where the path needs a PAX record. */
function splitPath(path: ByteString): readonly [prefix: ByteString, name: ByteString] | undefined {
  const nameBytes = HEADER_FIELDS.name.sizeBytes;
  // POSIX: names beyond the portable ASCII set belong in a PAX record, whose text has a known encoding.
  if (!isAscii(path)) return undefined;
  if (path.length <= nameBytes) return [asByteString(""), path];
  // The first slash from which on the name fits; a name must be left, and the prefix must not be empty.
  const slash = path.indexOf("/", path.length - nameBytes - 1);
  const isSplit = slash > 0 && slash <= HEADER_FIELDS.prefix.sizeBytes && slash < path.length - 1;
  return isSplit ? [asByteString(path.slice(0, slash)), asByteString(path.slice(slash + 1))] : undefined;
}

function isAscii(text: ByteString): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

/** Records for what the header's fields cannot hold, in one fixed order. */
function paxRecords(entry: TarEntry, storedBytes: number, pathFits: boolean): Uint8Array[] {
  const records: Uint8Array[] = [];
  if (!pathFits && !entry.sparseRegions) records.push(paxRecord("path", entry.path));
  if (entry.linkTarget.length > HEADER_FIELDS.linkname.sizeBytes || !isAscii(entry.linkTarget)) {
    records.push(paxRecord("linkpath", entry.linkTarget));
  }
  if (storedBytes > OCTAL_11_MAX) records.push(paxRecord("size", decimal(storedBytes)));
  if (entry.uid > OCTAL_7_MAX) records.push(paxRecord("uid", decimal(entry.uid)));
  if (entry.gid > OCTAL_7_MAX) records.push(paxRecord("gid", decimal(entry.gid)));
  const { seconds, nanoseconds } = entry.mtime;
  if (nanoseconds !== 0 || seconds < 0 || seconds > OCTAL_11_MAX) {
    records.push(paxRecord("mtime", encodeTime(entry.mtime)));
  }
  return records;
}

/** GNU tar manual, "PAX Format, Version 1.0". */
function sparseRecords(entry: TarEntry): Uint8Array[] {
  if (!entry.sparseRegions) return [];
  return [
    paxRecord("GNU.sparse.major", decimal(1)),
    paxRecord("GNU.sparse.minor", decimal(0)),
    paxRecord("GNU.sparse.name", entry.path),
    paxRecord("GNU.sparse.realsize", decimal(entry.sizeBytes)),
  ];
}

/** GNU tar's name for what a reader that knows no sparse files extracts: map and regions, beside the real path. */
function sparseHeaderPath(path: ByteString): ByteString {
  const nameAt = path.lastIndexOf("/") + 1;
  return asByteString(`${path.slice(0, nameAt)}GNUSparseFile.0/${path.slice(nameAt)}`);
}

/** Attributes in the entry's order, values as they are. */
function xattrRecords(entry: TarEntry): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (const [name, value] of entry.xattrs ?? []) {
    assert(name !== "" && !name.includes("\0"), "an attribute's name is not empty and holds no NUL");
    // A PAX key ends at its first "="; libarchive's form has a way to write one in a name.
    records.push(
      name.includes("=")
        ? paxRecord(`LIBARCHIVE.xattr.${percentEncode(name)}`, asByteString(btoa(toByteString(value))))
        : paxRecord(`SCHILY.xattr.${name}`, toByteString(value)),
    );
  }
  return records;
}

function percentEncode(name: ByteString): string {
  return name.replace(/[^A-Za-z0-9._-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** `<length> <key>=<value>\n`, where the length counts its own digits. */
function paxRecord(key: string, value: ByteString): Uint8Array {
  const restBytes = key.length + value.length + 3; // The space, "=" and the line feed.
  let digits = String(restBytes).length;
  while (String(restBytes + digits).length > digits) digits++;
  return byteStringBytes(asByteString(`${restBytes + digits} ${key}=${value}\n`));
}

/** Decimal seconds with floor semantics undone: -1 s and 500,000,000 ns are "-0.5". */
function encodeTime(time: Timestamp): ByteString {
  const isNegative = time.seconds < 0;
  const borrow = isNegative && time.nanoseconds > 0 ? 1 : 0;
  const whole = isNegative ? -(time.seconds + borrow) : time.seconds;
  const nanoseconds = borrow === 1 ? 1_000_000_000 - time.nanoseconds : time.nanoseconds;
  const fraction = nanoseconds === 0 ? "" : `.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}`;
  return utf8ByteString(`${isNegative ? "-" : ""}${whole}${fraction}`);
}

function encodeHeader(
  entry: TarEntry,
  storedBytes: number,
  names: readonly [prefix: ByteString, name: ByteString] | undefined,
): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  // Where a record has the path, readers of plain ustar get as much of it as fits.
  const path = entry.sparseRegions ? sparseHeaderPath(entry.path) : entry.path;
  writeText(block, HEADER_FIELDS.name, names ? names[1] : path);
  if (names) writeText(block, HEADER_FIELDS.prefix, names[0]);
  writeText(block, HEADER_FIELDS.linkname, entry.linkTarget);
  writeOctal(block, HEADER_FIELDS.mode, entry.mode);
  writeOctal(block, HEADER_FIELDS.uid, entry.uid > OCTAL_7_MAX ? 0 : entry.uid);
  writeOctal(block, HEADER_FIELDS.gid, entry.gid > OCTAL_7_MAX ? 0 : entry.gid);
  writeOctal(block, HEADER_FIELDS.size, storedBytes > OCTAL_11_MAX ? 0 : storedBytes);
  writeOctal(block, HEADER_FIELDS.mtime, Math.min(Math.max(entry.mtime.seconds, 0), OCTAL_11_MAX));
  writeDevice(block, HEADER_FIELDS.devmajor, entry.deviceMajor);
  writeDevice(block, HEADER_FIELDS.devminor, entry.deviceMinor);
  return sealHeader(block, TYPEFLAGS[entry.type]);
}

/** The header of an extended header; its name is for readers that extract it as a file. */
function encodePaxHeader(sizeBytes: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  writeText(block, HEADER_FIELDS.name, asByteString("PaxHeaders/entry"));
  writeOctal(block, HEADER_FIELDS.mode, 0o644);
  for (const field of [HEADER_FIELDS.uid, HEADER_FIELDS.gid, HEADER_FIELDS.mtime])
    writeOctal(block, field, 0);
  for (const field of [HEADER_FIELDS.devmajor, HEADER_FIELDS.devminor]) writeOctal(block, field, 0);
  writeOctal(block, HEADER_FIELDS.size, sizeBytes);
  return sealHeader(block, "x");
}

function sealHeader(block: Uint8Array, typeflag: string): Uint8Array {
  block[TYPEFLAG_OFFSET] = typeflag.charCodeAt(0);
  writeText(block, HEADER_FIELDS.magic, asByteString("ustar\x0000"));
  // POSIX ustar: the sum is taken with the field as eight spaces, and written as six digits, NUL, space.
  const { offset, sizeBytes } = HEADER_FIELDS.chksum;
  block.fill(0x20, offset, offset + sizeBytes);
  const sum = block.reduce((total, byte) => total + byte, 0);
  writeByteString(block, asByteString(`${sum.toString(8).padStart(6, "0")}\0 `), offset);
  return block;
}

function writeText(block: Uint8Array, field: HeaderField, text: ByteString): void {
  writeByteString(block, asByteString(text.slice(0, field.sizeBytes)), field.offset);
}

function writeOctal(block: Uint8Array, field: HeaderField, value: number): void {
  const digits = value.toString(8).padStart(field.sizeBytes - 1, "0");
  assert(digits.length < field.sizeBytes, "a number fits its header field");
  writeByteString(block, asByteString(digits), field.offset);
}

/** POSIX has no record for device numbers: large ones are base-256, which GNU tar, Go, Python and libarchive read. */
function writeDevice(block: Uint8Array, field: HeaderField, value: number): void {
  if (value <= OCTAL_7_MAX) {
    writeOctal(block, field, value);
    return;
  }
  block[field.offset] = 0x80;
  let rest = value;
  for (let i = field.sizeBytes - 1; i > 0; i--) {
    block[field.offset + i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

function decimal(value: number): ByteString {
  return asByteString(String(value));
}

function asciiBytes(text: string): Uint8Array {
  return byteStringBytes(asByteString(text));
}

function byteStringBytes(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeByteString(bytes, text, 0);
  return bytes;
}
