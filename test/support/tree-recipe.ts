// ⚡ uses: Buffer
/**
 * Trees as lists of entries, from which follow both a tar and what any reader of the disk image has to find. Strings
 * are bytes, one character (0 to 255) a byte. Knows nothing of src.
 */
import { createHash } from "node:crypto";

import type { ExpectedEntry } from "./judged-tree.ts";
import { tarBuilder, type Bytes, type PaxRecords, type SparsePart } from "./tar-builder.ts";

/** One name of the tree. Directories come before what is in them. */
export interface RecipeEntry {
  /** From the root directory, with a slash first; `/` is the root directory itself. */
  readonly path: string;
  /** Default: `file`, or `symlink` with a target. `hardlink` is one more name for `target`. */
  readonly type?: "file" | "dir" | "symlink" | "char" | "block" | "fifo" | "hardlink";
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds and nanoseconds, floor semantics. */
  readonly mtime?: readonly [number, number];
  readonly body?: Bytes;
  /** Instead of a body: parts in a file of this size. The last part lies below the end. */
  readonly sparse?: { readonly sizeBytes: number; readonly parts: readonly SparsePart[] };
  readonly target?: string;
  readonly rdev?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, Bytes>>;
  /** Where the disk image is to differ from the tar: ext4 has an earliest and a last time. */
  readonly expectedMtime?: readonly [number, number];
}

/** The recipe as a tar, entry by entry. */
export function* recipeTar(entries: Iterable<RecipeEntry>): Generator<Uint8Array> {
  for (const entry of entries) yield entryTar(entry);
  yield new Uint8Array(1024);
}

/** What the disk image has to hold. */
export function recipeTree(entries: Iterable<RecipeEntry>): ExpectedEntry[] {
  const expected = new Map<string, ExpectedEntry>();
  expected.set("/", {
    path: "/",
    type: "dir",
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: [0, 0],
    xattrs: {},
  });
  const links = new Map<string, number>();
  for (const entry of entries) {
    if (entry.type !== "hardlink") {
      expected.set(entry.path, expectedEntry(entry));
      continue;
    }
    const first = expected.get(entry.target ?? "");
    if (first === undefined) throw new Error(`${entry.path}: link to a path that is not there`);
    const link = links.get(first.path) ?? links.size + 1;
    links.set(first.path, link);
    expected.set(first.path, { ...first, link });
    expected.set(entry.path, { ...first, path: entry.path, link });
  }
  return [...expected.values()];
}

function typeOf(entry: RecipeEntry): Exclude<RecipeEntry["type"], undefined> {
  return entry.type ?? (entry.target === undefined ? "file" : "symlink");
}

function modeOf(entry: RecipeEntry): number {
  const type = typeOf(entry);
  return entry.mode ?? (type === "symlink" ? 0o777 : type === "dir" ? 0o755 : 0o644);
}

function expectedEntry(entry: RecipeEntry): ExpectedEntry {
  const type = typeOf(entry);
  if (type === "hardlink") throw new Error("a hard link is no entry of its own");
  const sizeBytes = entry.sparse?.sizeBytes ?? bytesOf(entry.body ?? "").length;
  return {
    path: entry.path,
    type,
    mode: modeOf(entry),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: entry.expectedMtime ?? entry.mtime ?? [0, 0],
    xattrs: Object.fromEntries(
      Object.entries(entry.xattrs ?? {}).map(([name, value]) => [
        name,
        Buffer.from(bytesOf(value)).toString("base64"),
      ]),
    ),
    ...(type === "file" ? { size: sizeBytes, sha256: contentDigest(entry) } : {}),
    ...(type === "symlink" ? { target: entry.target ?? "" } : {}),
    ...(type === "char" || type === "block" ? { rdev: entry.rdev ?? [0, 0] } : {}),
  };
}

function contentDigest({ body = "", sparse }: RecipeEntry): string {
  const hash = createHash("sha256");
  if (sparse === undefined) return hash.update(bytesOf(body)).digest("hex");
  let at = 0;
  const zeros = new Uint8Array(1 << 20);
  const skipTo = (offset: number): void => {
    for (; at < offset; at += zeros.length) hash.update(zeros.subarray(0, offset - at));
    at = offset;
  };
  for (const { offset, bytes } of sparse.parts) {
    skipTo(offset);
    hash.update(bytesOf(bytes));
    at = offset + bytes.length;
  }
  skipTo(sparse.sizeBytes);
  return hash.digest("hex");
}

function entryTar(entry: RecipeEntry): Uint8Array {
  const type = typeOf(entry);
  const name = entry.path === "/" ? "./" : entry.path.slice(1);
  const target = type === "hardlink" ? (entry.target ?? "").slice(1) : (entry.target ?? "");
  const [seconds, nanoseconds] = entry.mtime ?? [0, 0];
  const records: [Bytes, Bytes][] = [];
  if (name.length > 100) records.push(["path", name]);
  if (target.length > 100) records.push(["linkpath", target]);
  if (nanoseconds !== 0) records.push(["mtime", decimal(seconds, nanoseconds)]);
  for (const [key, value] of Object.entries(entry.xattrs ?? {}))
    records.push([`SCHILY.xattr.${key}`, bytesOf(value)]);
  const fields = {
    mode: modeOf(entry),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: seconds,
    devmajor: entry.rdev?.[0] ?? 0,
    devminor: entry.rdev?.[1] ?? 0,
    linkname: target.slice(0, 100),
    typeflag: TYPEFLAGS[type],
  };
  const builder = tarBuilder();
  if (entry.sparse !== undefined) {
    // The form 0.1 keeps the list of parts in the records, so that records of ours can stand beside it.
    const { sizeBytes, parts } = entry.sparse;
    const list = parts.flatMap(({ offset, bytes }) => [offset, bytes.length]).join(",");
    const sparse: PaxRecords = [
      ["GNU.sparse.size", String(sizeBytes)],
      ["GNU.sparse.numblocks", String(parts.length)],
      ["GNU.sparse.name", name],
      ["GNU.sparse.map", list],
    ];
    const body = Buffer.concat(parts.map(({ bytes }) => bytesOf(bytes)));
    return builder
      .pax([...records.filter(([key]) => key !== "path"), ...sparse])
      .file("GNUSparseFile.0/x", body, fields)
      .bytes();
  }
  if (records.length > 0) builder.pax(records);
  return builder.entry({ ...fields, name: name.slice(0, 100), body: bytesOf(entry.body ?? "") }).bytes();
}

const TYPEFLAGS = {
  file: "0",
  hardlink: "1",
  symlink: "2",
  char: "3",
  block: "4",
  dir: "5",
  fifo: "6",
} as const;

function decimal(seconds: number, nanoseconds: number): string {
  if (seconds >= 0) return `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
  return `-${-seconds - 1}.${String(1_000_000_000 - nanoseconds).padStart(9, "0")}`;
}

function bytesOf(bytes: Bytes): Uint8Array {
  return typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
}
