/**
 * Builds tar files for tests, byte by byte, broken ones included. Knows nothing of src/tar. Strings are bytes, one
 * character (0 to 255) a byte; for text beyond ASCII pass `Buffer.from(text)`.
 */
import { createCipheriv } from "node:crypto";

/** Bytes as they are, or one character a byte. */
export type Bytes = string | Uint8Array;

/** A number to be written in octal (base 256 where it does not fit, or is negative), or the field's bytes. */
export type NumberField = number | bigint | Bytes;

/** The fields of a header; what is absent has the value of an ordinary file's. */
export interface HeaderFields {
  readonly name?: Bytes;
  readonly mode?: NumberField;
  readonly uid?: NumberField;
  readonly gid?: NumberField;
  /** Default: the length of the body. */
  readonly size?: NumberField;
  readonly mtime?: NumberField;
  /** Default: the right sum. */
  readonly checksum?: NumberField;
  /** True: sum the bytes as signed ones, as some old tars do. */
  readonly isSumSigned?: boolean;
  readonly typeflag?: Bytes;
  readonly linkname?: Bytes;
  /** Magic and version, 8 bytes; or one of the known ones. Default: `ustar`. */
  readonly magic?: "ustar" | "gnu" | "v7" | Uint8Array;
  readonly uname?: Bytes;
  readonly gname?: Bytes;
  readonly devmajor?: NumberField;
  readonly devminor?: NumberField;
  readonly prefix?: Bytes;
  /** Bytes written over the header at an offset, before the sum is made. */
  readonly patches?: readonly { readonly offset: number; readonly bytes: Bytes }[];
}

/** An entry: its header, then its body, padded with zeros to a multiple of 512. */
export interface RawEntry extends HeaderFields {
  readonly body?: Bytes;
  /** False: no padding follows the body. */
  readonly isPadded?: boolean;
}

/** A run of bytes of a sparse file. Runs lie end to end in the tar; GNU tar wants all but the last to be whole blocks. */
export interface SparsePart {
  readonly offset: number;
  readonly bytes: Bytes;
}

/** A sparse file: holes are where no part is. */
export interface SparseFile {
  readonly path: Bytes;
  readonly realSize: number;
  readonly parts: readonly SparsePart[];
}

/** Values of pax records by key, in order; keys may repeat. */
export type PaxRecords = readonly (readonly [key: Bytes, value: Bytes])[];

/** The forms of a sparse file: old GNU headers, and the three of pax. */
export type SparseForm = "gnu" | "pax-0.0" | "pax-0.1" | "pax-1.0";

const BLOCK_BYTES = 512;
const MAGICS = { ustar: "ustar\x0000", gnu: "ustar  \0", v7: "\0\0\0\0\0\0\0\0" } as const;

/** Builds one tar, entry by entry, in order. */
export class TarBuilder {
  readonly #pieces: Uint8Array[] = [];

  /** Any bytes. */
  raw(bytes: Bytes): this {
    this.#pieces.push(toBytes(bytes));
    return this;
  }

  /** An entry with any header. */
  entry({ body = "", isPadded = true, ...fields }: RawEntry): this {
    const bytes = toBytes(body);
    this.raw(encodeHeader({ size: bytes.length, ...fields })).raw(bytes);
    return isPadded ? this.raw(padding(bytes.length)) : this;
  }

  file(name: Bytes, body: Bytes = "", fields: RawEntry = {}): this {
    return this.entry({ name, body, ...fields });
  }

  dir(name: Bytes, fields: RawEntry = {}): this {
    return this.entry({ name, typeflag: "5", mode: 0o755, ...fields });
  }

  symlink(name: Bytes, linkname: Bytes, fields: RawEntry = {}): this {
    return this.entry({ name, linkname, typeflag: "2", mode: 0o777, ...fields });
  }

  hardlink(name: Bytes, linkname: Bytes, fields: RawEntry = {}): this {
    return this.entry({ name, linkname, typeflag: "1", ...fields });
  }

  fifo(name: Bytes, fields: RawEntry = {}): this {
    return this.entry({ name, typeflag: "6", ...fields });
  }

  device(name: Bytes, kind: "char" | "block", fields: RawEntry = {}): this {
    return this.entry({ name, typeflag: kind === "char" ? "3" : "4", ...fields });
  }

  /** Pax records for the next entry. */
  pax(records: PaxRecords, fields: RawEntry = {}): this {
    return this.entry({ name: "PaxHeaders/x", typeflag: "x", body: encodePax(records), ...fields });
  }

  /** Pax records for all entries that follow. */
  globalPax(records: PaxRecords, fields: RawEntry = {}): this {
    return this.entry({ name: "PaxHeaders/g", typeflag: "g", body: encodePax(records), ...fields });
  }

  /** GNU's long name for the next entry; ends in NUL unless `body` is given. */
  gnuLongName(name: Bytes, fields: RawEntry = {}): this {
    return this.#gnuLong("L", name, fields);
  }

  /** GNU's long link target for the next entry. */
  gnuLongLink(target: Bytes, fields: RawEntry = {}): this {
    return this.#gnuLong("K", target, fields);
  }

  /** A sparse file in any of its forms. */
  sparse(form: SparseForm, { path, realSize, parts }: SparseFile, fields: RawEntry = {}): this {
    const body = concat(parts.map((part) => toBytes(part.bytes)));
    const map = parts.map((part) => [part.offset, toBytes(part.bytes).length] as const);
    if (form === "gnu") return this.#gnuSparse(path, { realSize, map, body }, fields);
    if (form === "pax-1.0") {
      const text = [map.length, ...map.flat()].map((number) => `${number}\n`).join("");
      const records = [
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.name", path],
        ["GNU.sparse.realsize", String(realSize)],
      ] as const;
      const mapBytes = concat([toBytes(text), padding(text.length)]);
      return this.pax(records).file("GNUSparseFile.0/x", concat([mapBytes, body]), fields);
    }
    const head = [
      ["GNU.sparse.size", String(realSize)],
      ["GNU.sparse.numblocks", String(map.length)],
    ] as const;
    if (form === "pax-0.1") {
      const list = ["GNU.sparse.map", map.flat().join(",")] as const;
      return this.pax([...head, ["GNU.sparse.name", path], list]).file("GNUSparseFile.0/x", body, fields);
    }
    const records = map.flatMap(([offset, size]) => [
      ["GNU.sparse.offset", String(offset)] as const,
      ["GNU.sparse.numbytes", String(size)] as const,
    ]);
    return this.pax([...head, ...records]).file(path, body, fields);
  }

  /** The tar so far, without an end. */
  bytes(): Uint8Array {
    return concat(this.#pieces);
  }

  /** The tar, with blocks of zeros for its end. */
  end(blockCount = 2): Uint8Array {
    return concat([...this.#pieces, new Uint8Array(blockCount * BLOCK_BYTES)]);
  }

  #gnuLong(typeflag: string, text: Bytes, fields: RawEntry): this {
    const body = concat([toBytes(text), new Uint8Array(1)]);
    return this.entry({ name: "././@LongLink", typeflag, magic: "gnu", mode: 0, body, ...fields });
  }

  #gnuSparse(
    name: Bytes,
    file: { realSize: number; map: readonly (readonly [number, number])[]; body: Uint8Array },
    fields: RawEntry,
  ): this {
    // struct oldgnu_header: 4 pairs at 386, isextended at 482, realsize at 483; then blocks of 21 pairs.
    const pairs = file.map.flat().map((number) => encodeNumber(number, 12));
    const rest = pairs.splice(8);
    const patches = [
      { offset: 386, bytes: concat(pairs) },
      { offset: 482, bytes: rest.length > 0 ? "\x01" : "\0" },
      { offset: 483, bytes: encodeNumber(file.realSize, 12) },
    ];
    this.raw(encodeHeader({ name, typeflag: "S", magic: "gnu", size: file.body.length, patches, ...fields }));
    while (rest.length > 0) {
      const block = new Uint8Array(BLOCK_BYTES);
      block.set(concat(rest.splice(0, 42)), 0);
      block[504] = rest.length > 0 ? 1 : 0;
      this.raw(block);
    }
    return this.raw(file.body).raw(padding(file.body.length));
  }
}

/** An empty tar to add entries to. */
export function tarBuilder(): TarBuilder {
  return new TarBuilder();
}

/** A tar of one file of so many bytes that nothing compresses: the keystream of a fixed key. */
export function incompressibleTar(sizeBytes: number): Uint8Array {
  const keystream = createCipheriv("aes-128-ctr", Buffer.alloc(16, 5), Buffer.alloc(16));
  return tarBuilder()
    .file("large", keystream.update(Buffer.alloc(sizeBytes)))
    .end();
}

/** Pax records as the body of their entry: `length key=value\n`, the length counting itself. */
export function encodePax(records: PaxRecords): Uint8Array {
  return concat(
    records.map(([key, value]) => {
      const rest = concat([" ", key, "=", value, "\n"].map(toBytes));
      let length = rest.length + 1;
      while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
      return concat([toBytes(String(length)), rest]);
    }),
  );
}

/** One header of 512 bytes. */
export function encodeHeader(fields: HeaderFields): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const { magic = "ustar" } = fields;
  const put = (offset: number, size: number, value: Bytes): void => {
    const bytes = toBytes(value);
    if (bytes.length > size) throw new Error(`${bytes.length} bytes do not fit the ${size} at ${offset}`);
    block.set(bytes, offset);
  };
  put(0, 100, fields.name ?? "file");
  put(100, 8, encodeNumber(fields.mode ?? 0o644, 8));
  put(108, 8, encodeNumber(fields.uid ?? 0, 8));
  put(116, 8, encodeNumber(fields.gid ?? 0, 8));
  put(124, 12, encodeNumber(fields.size ?? 0, 12));
  put(136, 12, encodeNumber(fields.mtime ?? 0, 12));
  put(156, 1, fields.typeflag ?? "0");
  put(157, 100, fields.linkname ?? "");
  put(257, 8, typeof magic === "string" ? MAGICS[magic] : magic);
  put(265, 32, fields.uname ?? "");
  put(297, 32, fields.gname ?? "");
  if (magic !== "v7") {
    put(329, 8, encodeNumber(fields.devmajor ?? 0, 8));
    put(337, 8, encodeNumber(fields.devminor ?? 0, 8));
  }
  put(345, 155, fields.prefix ?? "");
  for (const { offset, bytes } of fields.patches ?? []) put(offset, BLOCK_BYTES - offset, bytes);
  put(
    148,
    8,
    fields.checksum === undefined
      ? encodeSum(block, fields.isSumSigned === true)
      : encodeNumber(fields.checksum, 8),
  );
  return block;
}

function encodeSum(block: Uint8Array, isSigned: boolean): Uint8Array {
  const summed = isSigned ? new Int8Array(block.buffer) : block;
  let sum = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) sum += i >= 148 && i < 156 ? 0x20 : (summed[i] ?? 0);
  return toBytes(`${sum.toString(8).padStart(6, "0")}\0 `);
}

function encodeNumber(value: NumberField, size: number): Uint8Array {
  if (typeof value === "string" || value instanceof Uint8Array) return toBytes(value);
  const octal = value.toString(8);
  if (value >= 0 && octal.length < size) return toBytes(`${octal.padStart(size - 1, "0")}\0`);
  const bytes = new Uint8Array(size);
  let rest = BigInt.asUintN(size * 8, BigInt(value));
  for (let i = size - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  bytes[0] = value < 0 ? 0xff : (bytes[0] ?? 0) | 0x80;
  return bytes;
}

function padding(sizeBytes: number): Uint8Array {
  return new Uint8Array((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

function toBytes(text: Bytes): Uint8Array {
  if (typeof text !== "string") return text;
  return Uint8Array.from(text, (char) => {
    const code = char.charCodeAt(0);
    if (code > 255) throw new Error(`not a byte: ${JSON.stringify(char)}; pass Buffer.from(text)`);
    return code;
  });
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}
