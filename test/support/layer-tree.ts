/** What src/ makes of layers without a disk: parsed, cut into segments, flattened, and listed as the judges list trees. */
import { createHash } from "node:crypto";

import { CHUNK_BYTES } from "../../src/chunk/chunk.ts";
import { SegmentBuilder, type Segment } from "../../src/segment/segment-builder.ts";
import { SEGMENT_BLOCK_BYTES } from "../../src/segment/file-place.ts";
import type { SegmentChunkSink } from "../../src/segment/segment-chunks.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { FileBody, LayerEntry } from "../../src/tree/layer-entry.ts";
import type { Inode, Tree } from "../../src/tree/tree.ts";
import type { ExpectedEntry, JudgedEntry } from "./judged-tree.ts";

/** A segment with the chunks that it gave, by index. */
export interface MadeSegment extends Segment {
  readonly chunks: readonly Uint8Array[];
}

/** A sink that makes its chunks and gives them to `add`. */
export function sinkOf(add: SegmentChunkSink["add"]): SegmentChunkSink {
  return { newChunk: () => new Uint8Array(CHUNK_BYTES), add };
}

/** Cuts a layer's tar into a segment; the tar comes in pieces of `pieceBytes`, and `onEntry` is SegmentBuilder's. */
export function makeSegment(
  tar: Uint8Array,
  pieceBytes: number = tar.length,
  onEntry?: (entry: LayerEntry) => void,
): MadeSegment {
  const chunks: Uint8Array[] = [];
  const builder = new SegmentBuilder(
    sinkOf((chunkIndex, plain) => {
      if (chunks[chunkIndex] !== undefined) throw new Error(`chunk ${chunkIndex} came twice`);
      chunks[chunkIndex] = plain;
    }),
    undefined,
    onEntry,
  );
  const parser = new TarParser(builder, { label: "layer" });
  for (let at = 0; at < tar.length; at += pieceBytes) parser.push(tar.subarray(at, at + pieceBytes));
  parser.finish();
  const segment = builder.finish();
  const count = Object.keys(chunks).length;
  if (count !== segment.chunkCount) throw new Error(`${count} of ${segment.chunkCount} chunks came`);
  return { ...segment, chunks };
}

/** The bytes of a file, holes as zeros. */
export function bodyBytes(body: FileBody, chunks: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(body.sizeBytes);
  for (const { fileBlock, segmentBlock, blockCount } of body.runs) {
    for (let i = 0; i < blockCount; i++) {
      const at = (segmentBlock + i) * SEGMENT_BLOCK_BYTES;
      const chunk = chunks[Math.floor(at / CHUNK_BYTES)];
      if (chunk === undefined) throw new Error(`no chunk has block ${segmentBlock + i}`);
      const within = at % CHUNK_BYTES;
      const to = (fileBlock + i) * SEGMENT_BLOCK_BYTES;
      bytes.set(chunk.subarray(within, within + Math.min(SEGMENT_BLOCK_BYTES, body.sizeBytes - to)), to);
    }
  }
  return bytes;
}

/** Layers applied base first, and the tree listed. */
export function flattenTars(tars: readonly Uint8Array[]): JudgedEntry[] {
  const segments = tars.map((tar) => makeSegment(tar));
  const flattener = new Flattener();
  for (const segment of segments) flattener.applyLayer(segment.entries);
  return listTree(flattener.finish(), segments);
}

/** All that a tree says, as plain values; names of one inode have the same number. */
export function plainTree({ rootDirectory, slots }: Tree): unknown {
  const numbers = new Map<Inode, number>();
  const plain = (inode: Inode): unknown => {
    const known = numbers.get(inode);
    if (known !== undefined) return known;
    numbers.set(inode, numbers.size);
    const { type, mode, uid, gid, mtime, xattrs, nameCount, layerIndex, slot, body, isImplied } = inode;
    const { linkTarget, deviceMajor, deviceMinor, children } = inode;
    const names = [...(children ?? [])].map(([name, child]) => [name, plain(child)]);
    return {
      ...{ type, mode, uid, gid, mtime, xattrs, nameCount, layerIndex, slot, isImplied, names },
      ...{ linkTarget, deviceMajor, deviceMinor, body: body && { ...body, runs: body.runs } },
    };
  };
  return { root: plain(rootDirectory), slots };
}

/** Every path of a tree. Link counts are the inodes' own, so that comparing checks them. */
export function listTree(tree: Tree, segments: readonly MadeSegment[]): JudgedEntry[] {
  const listed: JudgedEntry[] = [];
  const numbers = new Map<Inode, number>();
  const visit: { path: string; inode: Inode }[] = [{ path: "", inode: tree.rootDirectory }];
  for (let next = visit.pop(); next !== undefined; next = visit.pop()) {
    const { path, inode } = next;
    if (!numbers.has(inode)) numbers.set(inode, numbers.size);
    const subdirectories = [...(inode.children?.values() ?? [])].filter((child) => child.type === "dir");
    listed.push({
      path: path === "" ? "/" : path,
      type: inode.type,
      mode: inode.mode,
      uid: inode.uid,
      gid: inode.gid,
      mtime: [inode.mtime.seconds, inode.mtime.nanoseconds],
      nlink: inode.type === "dir" ? 2 + subdirectories.length : inode.nameCount,
      xattrs: Object.fromEntries(
        [...(inode.xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString("base64")]),
      ),
      ...(inode.nameCount > 1 ? { link: numbers.get(inode) ?? 0 } : {}),
      ...contentOf(inode, segments),
    });
    for (const [name, child] of inode.children ?? []) visit.push({ path: `${path}/${name}`, inode: child });
  }
  return listed.sort((left, right) => (left.path < right.path ? -1 : 1));
}

function contentOf(inode: Inode, segments: readonly MadeSegment[]): Partial<ExpectedEntry> {
  if (inode.type === "symlink") return { target: inode.linkTarget };
  if (inode.type === "char" || inode.type === "block") {
    return { rdev: [inode.deviceMajor, inode.deviceMinor] };
  }
  if (inode.type !== "file" || inode.body === undefined) return {};
  const bytes = bodyBytes(inode.body, segments[inode.layerIndex]?.chunks ?? []);
  return { size: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}
