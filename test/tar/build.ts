// ⚡ uses: Buffer
/** Tars made by hand, field by field, and a sink that checks the contract while it collects. */
import { LambdaImgError } from "../../src/base/error.ts";
import type { TarEntry, TarSink } from "../../src/tar/entry.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { TAR_END, tarPadding } from "../../src/tar/writer.ts";

/** A header's fields; strings are raw field contents (one character a byte), numbers become octal. */
export interface RawHeader {
  readonly name?: string;
  readonly mode?: number | string;
  readonly uid?: number | string;
  readonly gid?: number | string;
  readonly size?: number | string;
  readonly mtime?: number | string;
  readonly type?: string;
  readonly link?: string;
  readonly magic?: string;
  readonly devmajor?: number | string;
  readonly devminor?: number | string;
  readonly prefix?: string;
  /** Raw bytes at offsets, for what has no name here. */
  readonly patches?: readonly (readonly [offset: number, bytes: string])[];
  /** The raw checksum field; computed by default. */
  readonly checksum?: string;
}

export const USTAR_MAGIC = "ustar\x0000";
export const GNU_MAGIC = "ustar  \0";

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

export function rawHeader(header: RawHeader): Uint8Array {
  const block = new Uint8Array(512);
  const number = (offset: number, size: number, value: number | string): void => {
    block.set(latin1(typeof value === "string" ? value : value.toString(8).padStart(size - 1, "0")), offset);
  };
  block.set(latin1(header.name ?? "f"), 0);
  number(100, 8, header.mode ?? 0o644);
  number(108, 8, header.uid ?? 0);
  number(116, 8, header.gid ?? 0);
  number(124, 12, header.size ?? 0);
  number(136, 12, header.mtime ?? 0);
  block.set(latin1(header.type ?? "0"), 156);
  block.set(latin1(header.link ?? ""), 157);
  block.set(latin1(header.magic ?? USTAR_MAGIC), 257);
  number(329, 8, header.devmajor ?? 0);
  number(337, 8, header.devminor ?? 0);
  block.set(latin1(header.prefix ?? ""), 345);
  for (const [offset, bytes] of header.patches ?? []) block.set(latin1(bytes), offset);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(latin1(header.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

/** A header with its body, padded; the size field is the body's unless given. */
export function member(header: RawHeader, body: string | Uint8Array = ""): Uint8Array {
  const bytes = typeof body === "string" ? latin1(body) : body;
  return concat(rawHeader({ size: bytes.length, ...header }), bytes, tarPadding(bytes.length));
}

/** One PAX record with a true length. */
export function paxRecord(key: string, value: string): string {
  const rest = key.length + value.length + 3;
  let digits = String(rest).length;
  while (String(rest + digits).length > digits) digits++;
  return `${rest + digits} ${key}=${value}\n`;
}

export function pax(records: readonly (readonly [key: string, value: string])[], type = "x"): Uint8Array {
  return member({ name: "pax", type }, records.map(([key, value]) => paxRecord(key, value)).join(""));
}

/** GNU base-256: big-endian two's complement with the first bit set. */
export function base256(value: bigint, size: number): string {
  let bits = BigInt.asUintN(size * 8, value) | (1n << BigInt(size * 8 - 1));
  let text = "";
  for (let i = 0; i < size; i++, bits >>= 8n) text = String.fromCharCode(Number(bits & 0xffn)) + text;
  return text;
}

export interface Parsed {
  readonly entry: TarEntry;
  readonly body: Uint8Array;
}

/** Collects entries; throws where the parser breaks the sink's contract. */
export class Collector implements TarSink {
  readonly entries: Parsed[] = [];
  #entry: TarEntry | undefined;
  #pieces: Uint8Array[] = [];

  get isOpen(): boolean {
    return this.#entry !== undefined;
  }

  entry(entry: TarEntry): void {
    if (this.#entry) throw new Error("entry before entryEnd");
    this.#entry = entry;
    this.#pieces = [];
  }

  body(piece: Uint8Array): void {
    if (!this.#entry) throw new Error("body outside an entry");
    if (piece.length === 0) throw new Error("an empty piece");
    this.#pieces.push(piece.slice());
  }

  entryEnd(): void {
    if (!this.#entry) throw new Error("entryEnd outside an entry");
    const body = concat(...this.#pieces);
    const { type, sizeBytes, sparseRegions } = this.#entry;
    const expected = sparseRegions?.reduce((sum, region) => sum + region.sizeBytes, 0) ?? sizeBytes;
    if (body.length !== expected) throw new Error(`body of ${body.length} bytes, expected ${expected}`);
    if (type !== "file" && sizeBytes !== 0) throw new Error("a size without a file");
    let end = -1;
    for (const region of sparseRegions ?? []) {
      if (region.offsetBytes <= end || region.sizeBytes < 1) throw new Error("regions touch or are empty");
      end = region.offsetBytes + region.sizeBytes;
    }
    if (end > sizeBytes) throw new Error("a region past the file's end");
    this.entries.push({ entry: this.#entry, body });
    this.#entry = undefined;
  }
}

/** Parses a tar cut into pieces of `pieceBytes` bytes. */
export function parseTar(
  tar: Uint8Array,
  pieceBytes: number = tar.length,
  extensionBytesMax?: number,
): Parsed[] {
  const collector = new Collector();
  const parser = new TarParser(collector, {
    label: "layer 3 (sha256:ab)",
    ...(extensionBytesMax === undefined ? {} : { extensionBytesMax }),
  });
  for (let at = 0; at < tar.length; at += pieceBytes) parser.push(tar.subarray(at, at + pieceBytes));
  parser.finish();
  if (parser.offsetBytes !== tar.length) throw new Error("offsetBytes is not what was pushed");
  if (collector.isOpen) throw new Error("an entry without its end");
  return collector.entries;
}

/** Parses the parts and the end mark. */
export function parseParts(...parts: readonly Uint8Array[]): Parsed[] {
  return parseTar(concat(...parts, TAR_END));
}

/** The one entry of the parts. */
export function parseOne(...parts: readonly Uint8Array[]): TarEntry {
  const parsed = parseParts(...parts);
  if (parsed.length !== 1) throw new Error(`expected one entry, found ${parsed.length}`);
  return parsed[0]!.entry;
}

/** The error that parsing throws; everything else fails the test. */
export function errorOf(work: () => unknown): LambdaImgError {
  try {
    work();
  } catch (error) {
    if (error instanceof LambdaImgError) return error;
    throw error;
  }
  throw new Error("expected an error, found none");
}
