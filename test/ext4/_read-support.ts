// ⚡ uses: file system, child process, Buffer
/** Disk images for the reader's tests. */
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import type { BlockSource } from "../../src/base/block-source.ts";
import { LambdaImgError } from "../../src/base/error.ts";
import { type Ext4Inode, Ext4Reader, type ReadFileOptions } from "../../src/ext4/reader.ts";

export const hasTool = (...names: readonly string[]): boolean =>
  names.every((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0);
export const hasMke2fs: boolean = hasTool("mke2fs", "e2fsck");
export const hasDebugfs: boolean = hasMke2fs && hasTool("debugfs");

export const PROFILE =
  "none,ext_attr,extra_isize,extents,filetype,metadata_csum,metadata_csum_seed,flex_bg,dir_index,large_file,huge_file";

/** A folder that goes away after the file's tests. */
export function makeScratch(): string {
  const scratch = fs.mkdtempSync(join(tmpdir(), "ext4-reader-"));
  afterAll(() => {
    fs.rmSync(scratch, { recursive: true, force: true });
  });
  return scratch;
}

export function memorySource(bytes: Uint8Array): BlockSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, size) => Promise.resolve(bytes.subarray(offset, offset + size)),
  };
}

/** Makes a disk image of `tree` (none: empty); returns its path. */
export function makeImage(path: string, tree: string | undefined, options: readonly string[]): string {
  const from = tree === undefined ? [] : ["-d", tree];
  execFileSync("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "4096", ...options, ...from, path, "64M"], {
    stdio: "pipe",
  });
  return path;
}

export const openPath = (path: string): Promise<Ext4Reader> =>
  Ext4Reader.open(memorySource(new Uint8Array(fs.readFileSync(path))));

export async function contentOf(
  reader: Ext4Reader,
  inode: Ext4Inode,
  options: ReadFileOptions = {},
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of reader.readFile(inode, options)) {
    expect(piece.length).toBeGreaterThan(0);
    expect(piece.length).toBeLessThanOrEqual(524288);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    if (error instanceof LambdaImgError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

export async function drain(reader: Ext4Reader): Promise<number> {
  let count = 0;
  for await (const { inode } of reader.walk()) {
    count++;
    await reader.readXattrs(inode);
    if (inode.type === "file") await contentOf(reader, inode);
    if (inode.type === "symlink") await reader.readLink(inode);
  }
  return count;
}
