/** What the independent reader says of a path: lines of JSON from its process to ours. */
import { asByteString, type ByteString } from "../base/bytes.ts";
import type { FileType } from "./file-tree.ts";

/** A path as libext2fs sees it. Numbers are as wide as it gives them. */
export interface Ext2fsPath {
  readonly kind: "path";
  readonly path: ByteString;
  readonly type: FileType;
  readonly mode: number;
  /** The low 16 bits. */
  readonly uid: number;
  /** The low 16 bits. */
  readonly gid: number;
  /** The low 32 bits of the seconds, unsigned. */
  readonly mtimeLow: number;
  readonly linkCount: number;
  readonly inodeNumber: number;
  /** Of files: the low 32 bits. */
  readonly sizeLow: number;
  /** Of files: content-digest.ts; absent where the file was not read for its holes. */
  readonly content?: string;
  /** Of files: bytes that reading gave. */
  readonly readBytes?: number;
  /** Of symlinks. */
  readonly linkTarget?: ByteString;
}

/** One line. */
export type Ext2fsRecord =
  | Ext2fsPath
  /** Nothing to tell but that the reader is at work. */
  | { readonly kind: "alive" }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "end"; readonly pathCount: number };

/** The line of a record, without its end. */
export function encodeRecord(record: Ext2fsRecord): string {
  return JSON.stringify(record);
}

/** Reads a line; `undefined` for what is none of ours. */
export function parseRecord(line: string): Ext2fsRecord | undefined {
  const value = parseJson(line);
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const number = (name: string): number => (typeof fields[name] === "number" ? fields[name] : Number.NaN);
  const text = (name: string): string => (typeof fields[name] === "string" ? fields[name] : "");
  switch (fields["kind"]) {
    case "alive":
      return { kind: "alive" };
    case "failed":
      return { kind: "failed", message: text("message") };
    case "end":
      return { kind: "end", pathCount: number("pathCount") };
    case "path": {
      const type = FILE_TYPES.find((known) => known === fields["type"]);
      if (type === undefined) return undefined;
      return {
        kind: "path",
        path: asByteString(text("path")),
        type,
        mode: number("mode"),
        uid: number("uid"),
        gid: number("gid"),
        mtimeLow: number("mtimeLow"),
        linkCount: number("linkCount"),
        inodeNumber: number("inodeNumber"),
        sizeLow: number("sizeLow"),
        ...("content" in fields ? { content: text("content"), readBytes: number("readBytes") } : {}),
        ...("linkTarget" in fields ? { linkTarget: asByteString(text("linkTarget")) } : {}),
      };
    }
    default:
      return undefined;
  }
}

const FILE_TYPES: readonly FileType[] = ["file", "dir", "symlink", "char", "block", "fifo", "socket"];

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined; // Something that libext2fs printed.
  }
}
