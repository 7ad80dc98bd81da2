/** One layer entry as bytes, after the one before it (docs/format/record.md, "Entries"). */
import type { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { asByteString, equalBytes, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import type { BlockRun, FileBody, LayerEntry } from "../tree/layer-entry.ts";
import { PlacedBody } from "./file-place.ts";

/** Numbers of the types are their places here. */
const TYPES = ["file", "dir", "symlink", "hardlink", "char", "block", "fifo"] as const;

/** What an entry has in common with the one before. */
export type EntryBefore = Pick<LayerEntry, "path" | "mtime" | "xattrs">;

/** What stands before the first entry. */
export const NO_ENTRY: EntryBefore = {
  path: asByteString(""),
  mtime: { seconds: 0, nanoseconds: 0 },
  xattrs: undefined,
};

/** Empty files are many, and all alike. */
const EMPTY_BODY: FileBody = new PlacedBody(0);

/** Writes an entry but for its body; its path is the number of bytes that it shares with the one before, and the others. */
export function writeHead(writer: BinaryWriter, entry: LayerEntry, pathBefore: ByteString): void {
  const shared = sharedLength(pathBefore, entry.path);
  writer.number(TYPES.indexOf(entry.type));
  writer.number(shared);
  writer.text(asByteString(entry.path.slice(shared)));
  writer.number(entry.mode);
  writer.number(entry.uid);
  writer.number(entry.gid);
  writer.signed(entry.mtime.seconds);
  writer.number(entry.mtime.nanoseconds);
  writer.text(entry.linkTarget);
  writer.number(entry.deviceMajor);
  writer.number(entry.deviceMinor);
  writeXattrs(writer, entry.xattrs);
}

/** Writes a file's body, behind the rest of its entry. */
export function writeBody(writer: BinaryWriter, { sizeBytes, runs }: FileBody): void {
  writer.number(sizeBytes);
  writer.number(runs.length);
  for (const { fileBlock, segmentBlock, blockCount } of runs) {
    writer.number(fileBlock);
    writer.number(segmentBlock);
    writer.number(blockCount);
  }
}

/**
 * Reads an entry. Neighbours often have one time and equal attributes: these then are one object, since a million inodes may keep them.
 * @throws STORE_INVALID
 */
export function readEntry(reader: BinaryReader, before: EntryBefore): LayerEntry {
  const type = TYPES[reader.number()];
  if (type === undefined) throw new LambdaImgError("STORE_INVALID", "segment record: unknown type of entry");
  const shared = reader.number();
  if (shared > before.path.length)
    throw new LambdaImgError("STORE_INVALID", "segment record: a path shares more than there is");
  const path = asByteString(before.path.slice(0, shared) + reader.text());
  const mode = reader.number();
  const uid = reader.number();
  const gid = reader.number();
  const mtime = readTime(reader, before.mtime);
  const linkTarget = reader.text();
  const deviceMajor = reader.number();
  const deviceMinor = reader.number();
  const found = readXattrs(reader);
  const xattrs = areEqualXattrs(found, before.xattrs) ? before.xattrs : found;
  const body = type === "file" ? readBody(reader) : undefined;
  return { path, type, mode, uid, gid, mtime, body, linkTarget, deviceMajor, deviceMinor, xattrs };
}

function sharedLength(left: ByteString, right: ByteString): number {
  const limit = Math.min(left.length, right.length);
  let at = 0;
  while (at < limit && left.charCodeAt(at) === right.charCodeAt(at)) at++;
  return at;
}

function readTime(reader: BinaryReader, before: LayerEntry["mtime"]): LayerEntry["mtime"] {
  const seconds = reader.signed();
  const nanoseconds = reader.number();
  return seconds === before.seconds && nanoseconds === before.nanoseconds ? before : { seconds, nanoseconds };
}

/** None is 0; else one more than their number, so that an empty list stays one. */
function writeXattrs(writer: BinaryWriter, xattrs: LayerEntry["xattrs"]): void {
  writer.number(xattrs === undefined ? 0 : xattrs.size + 1);
  for (const [name, value] of xattrs ?? []) {
    writer.text(name);
    writer.bytes(value);
  }
}

function readXattrs(reader: BinaryReader): LayerEntry["xattrs"] {
  const count = reader.number();
  if (count === 0) return undefined;
  const xattrs = new Map<ByteString, Uint8Array>();
  for (let left = count - 1; left > 0; left--) xattrs.set(reader.text(), reader.bytes());
  return xattrs;
}

/** Their order counts too: it is part of what the layer says. */
export function areEqualXattrs(left: LayerEntry["xattrs"], right: LayerEntry["xattrs"]): boolean {
  if (left?.size !== right?.size) return false;
  const others = right?.entries();
  for (const [name, value] of left ?? []) {
    const [otherName, otherValue] = others?.next().value ?? [];
    if (name !== otherName || otherValue === undefined || !equalBytes(value, otherValue)) return false;
  }
  return true;
}

function readBody(reader: BinaryReader): FileBody {
  const sizeBytes = reader.number();
  const runs: BlockRun[] = [];
  for (let left = reader.number(); left > 0; left--) {
    runs.push({ fileBlock: reader.number(), segmentBlock: reader.number(), blockCount: reader.number() });
  }
  return sizeBytes === 0 && runs.length === 0 ? EMPTY_BODY : new PlacedBody(sizeBytes, runs);
}
