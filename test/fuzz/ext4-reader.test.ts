// ⚡ uses: file system, child process, process, Buffer
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlockSource } from "../../src/base/block-source.ts";
import { isAllZero, utf8ByteString } from "../../src/base/bytes.ts";
import { isLambdaImgError, LambdaImgError } from "../../src/base/error.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import { randomBelow } from "../support/random.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 800);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const hasTool = (name: string): boolean => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;
const hasTools = hasTool("mke2fs") && hasTool("debugfs") && hasTool("e2fsck");

/** Fails the test on a read outside of the disk image: the reader has to know its bounds. */
function strictSource(bytes: Uint8Array): BlockSource {
  return {
    sizeBytes: bytes.length,
    read: (offset, size) => {
      const isInside =
        Number.isSafeInteger(offset) && offset >= 0 && size > 0 && offset + size <= bytes.length;
      if (!isInside) return Promise.reject(new RangeError(`read of ${size} at ${offset}`));
      return Promise.resolve(bytes.subarray(offset, offset + size));
    },
  };
}

let scratch = "";
beforeAll(() => {
  scratch = fs.mkdtempSync(join(tmpdir(), "ext4-fuzz-"));
  const tree = join(scratch, "tree");
  fs.mkdirSync(join(tree, "a/b"), { recursive: true });
  fs.mkdirSync(join(tree, "many"));
  for (let i = 0; i < 60; i++) fs.writeFileSync(join(tree, "many", `${i}-${"n".repeat(200)}`), "");
  fs.writeFileSync(join(tree, "a/small"), "hello");
  fs.linkSync(join(tree, "a/small"), join(tree, "a/b/again"));
  fs.symlinkSync("../a/small", join(tree, "a/fast"));
  fs.symlinkSync("x".repeat(200), join(tree, "a/slow"));
  const striped = fs.openSync(join(tree, "striped"), "w");
  for (let i = 0; i < 20; i++) fs.writeSync(striped, Buffer.alloc(4096, 7), 0, 4096, i * 8192);
  fs.closeSync(striped);
});
afterAll(() => {
  fs.rmSync(scratch, { recursive: true, force: true });
});

function makeImage(name: string, features: string): Uint8Array {
  const path = join(scratch, name);
  const options = [
    "-q",
    "-F",
    "-b",
    "4096",
    "-I",
    "256",
    "-N",
    "128",
    "-O",
    features,
    "-d",
    join(scratch, "tree"),
  ];
  execFileSync("mke2fs", [...options, path, "2M"], { stdio: "pipe" });
  const value = join(scratch, "value");
  fs.writeFileSync(value, Buffer.alloc(2000, "v"));
  const input = `ea_set a/small user.one 1\nea_set -f ${value} a/small user.two\nmknod a/dev c 1 3\n`;
  execFileSync("debugfs", ["-w", "-f", "-", path], { input, stdio: "pipe" });
  spawnSync("e2fsck", ["-fyD", path]);
  return new Uint8Array(fs.readFileSync(path));
}

/** Looks at everything that the image says, at most 1 MiB of a file. */
async function readAll(image: Uint8Array): Promise<void> {
  const reader = await Ext4Reader.open(strictSource(image));
  for await (const { inode } of reader.walk()) {
    await reader.readXattrs(inode);
    if (inode.type === "symlink") await reader.readLink(inode);
    if (inode.type !== "file") continue;
    for await (const piece of reader.readFile(inode, { sizeBytes: 1 << 20 }))
      expect(piece.length).toBeGreaterThan(0);
  }
  for (const path of ["/a/fast", "/a/slow", "/many/../a/b/again/x"]) {
    try {
      await reader.lookup(utf8ByteString(path), { followLast: true });
    } catch (error) {
      if (!isLambdaImgError(error)) throw error;
    }
  }
}

/** Offsets of bytes worth changing: in blocks that are not empty and not a file's content. */
async function metadataOffsets(image: Uint8Array): Promise<number[]> {
  const contentBlocks = new Set<number>();
  const reader = await Ext4Reader.open(strictSource(image));
  for await (const { inode } of reader.walk()) {
    if (inode.type !== "file") continue;
    for (const { diskBlock, blockCount } of await reader.extents(inode)) {
      for (let i = 0; i < blockCount; i++) contentBlocks.add(diskBlock + i);
    }
  }
  const offsets: number[] = [];
  for (let block = 0; block * 4096 < image.length; block++) {
    if (contentBlocks.has(block)) continue;
    // Most bytes of a metadata block are zeros, in runs: what is close to other bytes is more interesting.
    for (let at = block * 4096; at < (block + 1) * 4096; at += 16) {
      if (isAllZero(image.subarray(at, at + 16))) continue;
      for (let i = 0; i < 16; i++) offsets.push(at + i);
    }
  }
  return offsets;
}

const INTERESTING = [0, 1, 2, 4, 0x7f, 0x80, 0xfe, 0xff];

describe.skipIf(!hasTools)("a damaged disk image (needs mke2fs, debugfs and e2fsck)", () => {
  it.each([
    [
      "without checksums",
      "none,extents,filetype,flex_bg,dir_index,large_file,huge_file,ext_attr,extra_isize",
    ],
    [
      "with checksums",
      "none,extents,filetype,64bit,flex_bg,dir_index,large_file,metadata_csum,ext_attr,extra_isize",
    ],
  ])(`is read or refused by name, %s (seed ${SEED})`, async (name, features) => {
    const image = makeImage(name, features);
    await readAll(image);
    const offsets = await metadataOffsets(image);
    const random = randomBelow(SEED);
    let refusedCount = 0;
    for (let run = 0; run < RUNS; run++) {
      const damaged = Uint8Array.from(image);
      const changes: string[] = [];
      for (let i = random(3); i >= 0; i--) {
        const offset = offsets[random(offsets.length)] ?? 0;
        const value = random(2) === 0 ? (INTERESTING[random(INTERESTING.length)] ?? 0) : random(256);
        damaged[offset] = value;
        changes.push(`${offset}=${value}`);
      }
      try {
        await readAll(damaged);
      } catch (error) {
        if (!(error instanceof LambdaImgError))
          throw new Error(`run ${run}: ${changes.join(" ")}`, { cause: error });
        expect(["DISK_IMAGE_INVALID", "DISK_IMAGE_UNSUPPORTED"]).toContain(error.code);
        refusedCount++;
      }
    }
    expect(refusedCount).toBeGreaterThan(RUNS / 20);
  });

  it("is no image at all: refused", async () => {
    const random = randomBelow(SEED);
    for (let run = 0; run < 200; run++) {
      const noise = Uint8Array.from({ length: 4096 }, () => random(256));
      if (run % 2 === 0) noise.set([0x53, 0xef], 1024 + 0x38);
      await expect(Ext4Reader.open(strictSource(noise))).rejects.toBeInstanceOf(LambdaImgError);
    }
  });
});
