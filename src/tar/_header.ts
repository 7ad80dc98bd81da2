/**
 * A tar header block, field by field (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar
 * Format").
 */
import type { ByteString } from "../base/bytes.ts";
import { asByteString, toByteString } from "../base/bytes.ts";
import type { TarPlace } from "./_error.ts";
import { tarInvalid } from "./_error.ts";
import { parseField } from "./_number.ts";

/** The unit of tars: headers are one block, bodies are padded to whole ones. */
export const BLOCK_BYTES = 512;

/** What the magic says of the fields behind it. star's archives are ustar with a shorter prefix. */
export type HeaderFormat = "v7" | "ustar" | "star" | "gnu";

/** A field of the header block. */
export interface HeaderField {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** The fields, by their POSIX names. */
export const HEADER_FIELDS = {
  name: { offset: 0, sizeBytes: 100 },
  mode: { offset: 100, sizeBytes: 8 },
  uid: { offset: 108, sizeBytes: 8 },
  gid: { offset: 116, sizeBytes: 8 },
  size: { offset: 124, sizeBytes: 12 },
  mtime: { offset: 136, sizeBytes: 12 },
  chksum: { offset: 148, sizeBytes: 8 },
  linkname: { offset: 157, sizeBytes: 100 },
  magic: { offset: 257, sizeBytes: 8 },
  devmajor: { offset: 329, sizeBytes: 8 },
  devminor: { offset: 337, sizeBytes: 8 },
  prefix: { offset: 345, sizeBytes: 155 },
  /** star: the prefix ends where its access time begins. */
  starPrefix: { offset: 345, sizeBytes: 131 },
  /** Old GNU sparse headers. */
  gnuRealsize: { offset: 483, sizeBytes: 12 },
} as const;

/** The typeflag's offset. */
export const TYPEFLAG_OFFSET = 156;

/** True for a block of zeros: half of the end-of-archive mark. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let i = 0; i < BLOCK_BYTES; i++) if (block[i] !== 0) return false;
  return true;
}

/** @throws TAR_INVALID where the header's checksum is wrong */
export function checkHeaderSum(block: Uint8Array, place: TarPlace): void {
  const { offset, sizeBytes } = HEADER_FIELDS.chksum;
  // Four sums, which do not wait for each other: half the time.
  let [sum, second, third, fourth] = [0, 0, 0, 0];
  for (let i = 0; i < BLOCK_BYTES; i += 4) {
    sum += block[i] ?? 0;
    second += block[i + 1] ?? 0;
    third += block[i + 2] ?? 0;
    fourth += block[i + 3] ?? 0;
  }
  sum += second + third + fourth;
  // POSIX ustar: the field itself counts as eight spaces.
  for (let i = offset; i < offset + sizeBytes; i++) sum += 0x20 - (block[i] ?? 0);
  const stored = parseField(block, offset, sizeBytes);
  if (stored === sum || stored === signedSum(block)) return;
  const expected = Number.isFinite(stored) ? showOctal(stored) : "an octal number";
  throw tarInvalid(place, `header checksum: expected ${expected}, found ${showOctal(sum)}`);
}

/** Old Sun and other tars summed signed characters: each byte above 127 counts 256 less. */
function signedSum(block: Uint8Array): number {
  const { offset, sizeBytes } = HEADER_FIELDS.chksum;
  let sum = 0x20 * sizeBytes;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const byte = block[i] ?? 0;
    if (i < offset || i >= offset + sizeBytes) sum += byte > 127 ? byte - 256 : byte;
  }
  return sum;
}

/** The block's format by its magic; what has none is v7. */
export function headerFormat(block: Uint8Array): HeaderFormat {
  const at = HEADER_FIELDS.magic.offset;
  for (let i = 0; i < 5; i++) if (block[at + i] !== USTAR[i]) return "v7";
  // GNU tar before 1.14 and --format=gnu: "ustar", two spaces, NUL. Its prefix area holds times and sparse maps.
  if (block[at + 5] === 0x20 && block[at + 6] === 0x20 && block[at + 7] === 0) return "gnu";
  // The version behind the NUL is "00"; some writers leave NULs or spaces, which GNU tar reads as well.
  if (block[at + 5] !== 0) return "v7";
  const isStar = STAR_TRAILER.every((byte, i) => block[508 + i] === byte);
  return isStar ? "star" : "ustar";
}

const USTAR = [0x75, 0x73, 0x74, 0x61, 0x72];
const STAR_TRAILER = [0x74, 0x61, 0x72, 0];

/** What a header is that is no entry. */
export type ExtensionKind = "local" | "global" | "long-path" | "long-link" | "ignored";

/** Headers that change what follows, by typeflag. */
const EXTENSION_KINDS = new Map<number, ExtensionKind>([
  [0x78, "local"], // x
  [0x58, "local"], // X: Solaris wrote its extended headers under this letter before POSIX had one.
  [0x67, "global"], // g
  [0x4c, "long-path"], // L
  [0x4b, "long-link"], // K
  [0x56, "ignored"], // V: a GNU volume label, which is no file.
]);

/** What the block says of entries to come; `undefined` where it is an entry itself. */
export function extensionKind(block: Uint8Array): ExtensionKind | undefined {
  return EXTENSION_KINDS.get(block[TYPEFLAG_OFFSET] ?? 0);
}

/** The path that the header block itself gives. */
export function headerPath(block: Uint8Array, format: HeaderFormat): ByteString {
  const name = headerText(block, HEADER_FIELDS.name);
  if (format === "v7" || format === "gnu") return name;
  const prefix = headerText(block, format === "star" ? HEADER_FIELDS.starPrefix : HEADER_FIELDS.prefix);
  return prefix === "" ? name : asByteString(`${prefix}/${name}`);
}

/** The bytes of a text field up to its first NUL, or all of it. */
export function headerText(block: Uint8Array, field: HeaderField): ByteString {
  const end = field.offset + field.sizeBytes;
  let at = field.offset;
  while (at < end && block[at] !== 0) at++;
  return at === field.offset ? EMPTY : toByteString(block.subarray(field.offset, at));
}

const EMPTY: ByteString = asByteString("");

function showOctal(value: number): string {
  return value < 0 ? `-0o${(-value).toString(8)}` : `0o${value.toString(8)}`;
}
