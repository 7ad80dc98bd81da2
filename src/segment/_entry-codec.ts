/** Layer entries as bytes (docs/format/record.md, "Entries"). */
import type { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { asByteString, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import type { BlockRun, FileBody, LayerEntry } from "../tree/layer-entry.ts";
import { PlacedBody } from "./file-place.ts";

/** Numbers of the types are their places here. */
const TYPES = ["file", "dir", "symlink", "hardlink", "char", "block", "fifo"] as const;

/** Writes the entries; a path is the number of bytes it shares with the one before, and the others. */
export function writeEntries(writer: BinaryWriter, entries: readonly LayerEntry[]): void {
  writer.number(entries.length);
  let before: ByteString = asByteString("");
  for (const entry of entries) {
    const shared = sharedLength(before, entry.path);
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
    if (entry.body !== undefined) writeBody(writer, entry.body);
    before = entry.path;
  }
}

/**
 * Reads them.
 * @throws STORE_INVALID
 */
export function readEntries(reader: BinaryReader): LayerEntry[] {
  const entries: LayerEntry[] = [];
  let before: ByteString = asByteString("");
  for (let left = reader.number(); left > 0; left--) {
    const type = TYPES[reader.number()];
    if (type === undefined)
      throw new LambdaImgError("STORE_INVALID", "segment record: unknown type of entry");
    const shared = reader.number();
    if (shared > before.length)
      throw new LambdaImgError("STORE_INVALID", "segment record: a path shares more than there is");
    const path = asByteString(before.slice(0, shared) + reader.text());
    const [mode, uid, gid] = [reader.number(), reader.number(), reader.number()];
    const mtime = { seconds: reader.signed(), nanoseconds: reader.number() };
    const linkTarget = reader.text();
    const [deviceMajor, deviceMinor] = [reader.number(), reader.number()];
    const xattrs = readXattrs(reader);
    const body = type === "file" ? readBody(reader) : undefined;
    entries.push({ path, type, mode, uid, gid, mtime, body, linkTarget, deviceMajor, deviceMinor, xattrs });
    before = path;
  }
  return entries;
}

function sharedLength(left: ByteString, right: ByteString): number {
  const limit = Math.min(left.length, right.length);
  let at = 0;
  while (at < limit && left.charCodeAt(at) === right.charCodeAt(at)) at++;
  return at;
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

function writeBody(writer: BinaryWriter, { sizeBytes, runs }: FileBody): void {
  writer.number(sizeBytes);
  writer.number(runs.length);
  for (const { fileBlock, segmentBlock, blockCount } of runs) {
    writer.number(fileBlock);
    writer.number(segmentBlock);
    writer.number(blockCount);
  }
}

function readBody(reader: BinaryReader): FileBody {
  const sizeBytes = reader.number();
  const runs: BlockRun[] = [];
  for (let left = reader.number(); left > 0; left--) {
    runs.push({ fileBlock: reader.number(), segmentBlock: reader.number(), blockCount: reader.number() });
  }
  return new PlacedBody(sizeBytes, runs);
}
