/** The files of a disk image as a tar: what the layers said, in one archive. */
import { asByteString, type ByteString } from "../base/bytes.ts";
import { BLOCK_BYTES } from "../ext4/constants.ts";
import type { Ext4Inode, Ext4Reader } from "../ext4/reader.ts";
import type { TarEntry } from "../tar/entry.ts";
import { encodeTarEntry, TAR_END, tarPadding } from "../tar/writer.ts";

/** Yields the archive: entries in byte order of their paths, directories first, later names of an inode as hard links. */
export async function* encodeTree(reader: Ext4Reader): AsyncGenerator<Uint8Array> {
  const firstPaths = new Map<number, ByteString>();
  for await (const { path, inodeNumber, inode } of reader.walk()) {
    // Names in an archive are relative; the root directory is `./`.
    const relative = asByteString(path === "/" ? "./" : path.slice(1) + (inode.type === "dir" ? "/" : ""));
    const first = firstPaths.get(inodeNumber);
    if (first !== undefined) {
      yield encodeTarEntry({ ...(await entryOf(reader, relative, inode)), ...HARD_LINK, linkTarget: first });
      continue;
    }
    if (inode.type !== "dir" && inode.linkCount > 1) firstPaths.set(inodeNumber, relative);
    const entry = await entryOf(reader, relative, inode);
    yield encodeTarEntry(entry);
    if (inode.type !== "file") continue;
    let storedBytes = 0;
    for (const region of entry.sparseRegions ?? [{ offsetBytes: 0, sizeBytes: inode.sizeBytes }]) {
      storedBytes += region.sizeBytes;
      yield* reader.readFile(inode, region);
    }
    yield tarPadding(storedBytes);
  }
  yield TAR_END;
}

const HARD_LINK = { type: "hardlink", sizeBytes: 0, sparseRegions: undefined, xattrs: undefined } as const;

async function entryOf(reader: Ext4Reader, path: ByteString, inode: Ext4Inode): Promise<TarEntry> {
  const xattrs = await reader.readXattrs(inode);
  const isFile = inode.type === "file";
  return {
    path,
    // ext4 images of ours hold no sockets: tar has no entry for them.
    type: inode.type === "socket" ? "fifo" : inode.type,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtime: inode.mtime,
    sizeBytes: isFile ? inode.sizeBytes : 0,
    linkTarget: inode.type === "symlink" ? await reader.readLink(inode) : asByteString(""),
    deviceMajor: inode.deviceMajor,
    deviceMinor: inode.deviceMinor,
    xattrs: xattrs.size === 0 ? undefined : xattrs,
    sparseRegions: isFile ? await regionsOf(reader, inode) : undefined,
  };
}

/** The parts of a file that are no holes, or `undefined` where it has no hole. */
async function regionsOf(reader: Ext4Reader, inode: Ext4Inode): Promise<TarEntry["sparseRegions"]> {
  const regions: { offsetBytes: number; sizeBytes: number }[] = [];
  for (const { fileBlock, blockCount } of await reader.extents(inode)) {
    const offsetBytes = fileBlock * BLOCK_BYTES;
    const endBytes = Math.min(offsetBytes + blockCount * BLOCK_BYTES, inode.sizeBytes);
    const last = regions.at(-1);
    if (last !== undefined && last.offsetBytes + last.sizeBytes === offsetBytes) {
      last.sizeBytes = endBytes - last.offsetBytes;
    } else if (endBytes > offsetBytes) {
      regions.push({ offsetBytes, sizeBytes: endBytes - offsetBytes });
    }
  }
  const isWhole =
    regions.length === 1 && regions[0]?.offsetBytes === 0 && regions[0].sizeBytes === inode.sizeBytes;
  return isWhole || inode.sizeBytes === 0 ? undefined : regions;
}
