// ⚡ uses: file system, child process, Buffer
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { toByteString, utf8ByteString, viewOf } from "../../src/base/bytes.ts";
import { crc32c } from "../../src/ext4/crc32c.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import {
  codeOf,
  contentOf,
  drain,
  hasMke2fs,
  makeImage,
  makeScratch,
  memorySource,
  openPath,
  PROFILE,
} from "./_read-support.ts";

const scratch = makeScratch();
const imagePath = (name: string): string => join(scratch, `${name}.ext4`);

const MANY_NAMES = 1500;

/** A file in which every second block is a hole: one extent a block. */
function writeStriped(path: string, extentCount: number): void {
  const file = fs.openSync(path, "w");
  for (let i = 0; i < extentCount; i++)
    fs.writeSync(file, Buffer.alloc(4096, 1 + (i % 255)), 0, 4096, i * 8192);
  fs.ftruncateSync(file, extentCount * 8192 + 100);
  fs.closeSync(file);
}

/** A tree with one of everything that needs no privileges. */
function makeTree(): string {
  const tree = join(scratch, "tree");
  fs.mkdirSync(join(tree, "deep/er/still"), { recursive: true });
  fs.mkdirSync(join(tree, "many"));
  for (let i = 0; i < MANY_NAMES; i++)
    fs.writeFileSync(join(tree, "many", `name-${"x".repeat(i % 90)}-${i}`), "");
  fs.writeFileSync(join(tree, "empty"), "");
  fs.writeFileSync(join(tree, "small"), "hello\n", { mode: 0o640 });
  fs.writeFileSync(join(tree, "big"), Buffer.alloc(3_000_001, "0123456789abcdef!"));
  fs.linkSync(join(tree, "small"), join(tree, "deep/second name"));
  fs.writeFileSync(
    Buffer.concat([Buffer.from(join(tree, "bytes-")), Buffer.from([0xff, 0x80, 0xc3])]),
    "binary",
  );
  fs.writeFileSync(join(tree, "deep/er/grüße"), "utf-8");
  fs.symlinkSync("small", join(tree, "fast"));
  fs.symlinkSync("/deep/er", join(tree, "absolute"));
  fs.symlinkSync("../../../../../small", join(tree, "deep/er/up"));
  fs.symlinkSync("x/".repeat(150), join(tree, "slow"));
  fs.symlinkSync("y".repeat(59), join(tree, "longest-fast"));
  fs.symlinkSync("y".repeat(60), join(tree, "shortest-slow"));
  fs.symlinkSync("loop", join(tree, "loop"));
  fs.symlinkSync("nowhere", join(tree, "dangling"));
  writeStriped(join(tree, "five-extents"), 5);
  writeStriped(join(tree, "many-extents"), 800);
  fs.chmodSync(join(tree, "deep"), 0o1777);
  fs.chmodSync(join(tree, "big"), 0o4755);
  for (const seconds of [-(2 ** 31), -1, 0, 2 ** 31, 2 ** 33]) {
    fs.writeFileSync(join(tree, `time ${seconds}`), "");
    fs.utimesSync(join(tree, `time ${seconds}`), seconds, seconds);
  }
  return tree;
}

/** Every path under `tree` but the root directory, in the order of `walk`. */
function pathsOf(tree: string): Buffer[] {
  const paths: Buffer[] = [];
  const visit = (directory: Buffer): void => {
    const names = fs.readdirSync(directory, { encoding: "buffer" });
    for (const name of names.sort((left, right) => Buffer.compare(left, right))) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      paths.push(path);
      if (fs.lstatSync(path).isDirectory()) visit(path);
    }
  };
  visit(Buffer.from(tree));
  return paths;
}

async function expectSameTree(reader: Ext4Reader, tree: string): Promise<void> {
  const paths = pathsOf(tree);
  const inodeOf = new Map<number, number>();
  let at = -1;
  for await (const { path, inodeNumber, inode } of reader.walk()) {
    if (path === "/lost+found") continue;
    const original = at < 0 ? Buffer.from(tree) : paths[at]!;
    at++;
    if (at > 0) expect(path).toBe(toByteString(original.subarray(tree.length)));
    const stat = fs.lstatSync(original);
    expect(inode.mode).toBe(stat.mode & 0o7777);
    // mke2fs makes the root directory its own: root's, and of the time it ran (test/ext4/reader-kernel.test.ts).
    if (at > 0) expect([inode.uid, inode.gid]).toEqual([stat.uid, stat.gid]);
    // It leaves the epoch bits out, too.
    if (at > 0) expect(inode.mtime.seconds).toBe(Math.floor(stat.mtimeMs / 1000) | 0);
    if (stat.isDirectory()) {
      expect(inode.type).toBe("dir");
      continue;
    }
    expect(inode.linkCount).toBe(stat.nlink);
    if (stat.nlink > 1) expect(inodeOf.get(stat.ino) ?? inodeNumber).toBe(inodeNumber);
    inodeOf.set(stat.ino, inodeNumber);
    expect(inode.sizeBytes).toBe(stat.size);
    if (stat.isSymbolicLink()) {
      const target = fs.readlinkSync(original, { encoding: "buffer" });
      expect(await reader.readLink(inode)).toBe(toByteString(target));
    } else {
      expect(Buffer.compare(await contentOf(reader, inode), fs.readFileSync(original))).toBe(0);
    }
  }
  expect(at).toBe(paths.length);
}

describe.skipIf(!hasMke2fs)("a tree in an image of mke2fs (needs mke2fs and e2fsck)", () => {
  let tree = "";
  beforeAll(() => {
    tree = makeTree();
  });

  it.each<[string, readonly string[]]>([
    ["our profile", ["-I", "256", "-O", PROFILE]],
    ["64-bit descriptors", ["-O", "^has_journal,64bit"]],
    ["no checksums", ["-O", "^has_journal,^metadata_csum,^64bit"]],
    ["group checksums only", ["-O", "^has_journal,^metadata_csum,uninit_bg"]],
    ["values in inodes", ["-O", "^has_journal,ea_inode,metadata_csum_seed"]],
    ["inodes of 512 bytes", ["-I", "512", "-O", "^has_journal,large_dir"]],
    ["a clean journal", []],
    ["small groups", ["-g", "2048", "-O", "^has_journal,^resize_inode"]],
  ])("comes back whole: %s", async (name, options) => {
    const path = makeImage(imagePath(name), tree, options);
    await expectSameTree(await openPath(path), tree);
    // The same with hash tree directories, which e2fsck makes of long linear ones.
    expect(spawnSync("e2fsck", ["-fyD", path]).status).toBeLessThanOrEqual(1);
    const reader = await openPath(path);
    await expectSameTree(reader, tree);
    const many = await reader.lookup(utf8ByteString("/many"), { followLast: false });
    expect(many.inode.flags & 0x1000, "the hash tree flag").toBe(0x1000);
    expect(await reader.listDirectory(many.inode)).toHaveLength(MANY_NAMES);
  });

  it("finds paths as the kernel would inside a chroot", async () => {
    const reader = await openPath(makeImage(imagePath("lookup"), tree, ["-O", PROFILE]));
    const find = async (path: string, followLast: boolean): Promise<string> => {
      const { inode } = await reader.lookup(utf8ByteString(path), { followLast });
      if (inode.type === "file") return Buffer.from(await contentOf(reader, inode)).toString();
      return inode.type === "dir" ? `dir ${inode.inodeNumber}` : inode.type;
    };
    expect(await find("/", true)).toBe("dir 2");
    expect(await find("", true)).toBe("dir 2");
    expect(await find("/../..//.", true)).toBe("dir 2");
    expect(await find("small", true)).toBe("hello\n");
    expect(await find("//deep/./er/../second name", true)).toBe("hello\n");
    expect(await find("/fast", true)).toBe("hello\n");
    expect(await find("/fast", false)).toBe("symlink");
    expect(await find("/absolute/up", true)).toBe("hello\n");
    expect(await find("/absolute/grüße", true)).toBe("utf-8");
    expect(await find("/absolute", false)).toBe("symlink");
    expect(await find("/absolute/", false)).toMatch(/^dir/);
    expect(await find("/absolute/../../fast", false)).toBe("symlink");
    const fails = (path: string): Promise<string> => codeOf(find(path, true));
    expect(await fails("/deep/no/such")).toMatch(/^PATH_NOT_FOUND: .*component no does not exist/);
    expect(await fails("/small/x")).toMatch(/^PATH_NOT_FOUND: .*component x not inside a directory/);
    expect(await fails("/small/")).toMatch(/^PATH_NOT_FOUND/);
    expect(await fails("/dangling")).toMatch(/^PATH_NOT_FOUND: .*component nowhere/);
    expect(await fails("/loop")).toMatch(/^LINKS_TOO_MANY/);
    expect(await fails("a".repeat(1048577))).toMatch(/^PATH_TOO_LONG/);
  });

  it("reads any range of a file, and where its blocks are", async () => {
    const reader = await openPath(makeImage(imagePath("ranges"), tree, ["-O", PROFILE]));
    for (const name of ["big", "five-extents", "empty"]) {
      const original = fs.readFileSync(join(tree, name));
      const { inode } = await reader.lookup(utf8ByteString(name), { followLast: false });
      for (const offsetBytes of [0, 1, 4095, 4096, 4097, 8192, 20000, 41059, 524287, 2_999_999, 4_000_000]) {
        for (const sizeBytes of [0, 1, 4096, 10000, 600_000, undefined]) {
          const end = sizeBytes === undefined ? original.length : offsetBytes + sizeBytes;
          const part = await contentOf(reader, inode, { offsetBytes, sizeBytes });
          expect(Buffer.compare(part, original.subarray(offsetBytes, end))).toBe(0);
        }
      }
    }
    const { inode } = await reader.lookup(utf8ByteString("many-extents"), { followLast: false });
    expect(viewOf(inode.raw).getUint16(0x28 + 6, true), "depth of the extent tree").toBeGreaterThan(0);
    const extents = await reader.extents(inode);
    expect(extents.map((extent) => extent.fileBlock)).toEqual(Array.from({ length: 800 }, (_, i) => 2 * i));
  });

  it.each<[string, RegExp, (root: DataView, leaf: DataView) => void]>([
    [
      "two indexes with one leaf",
      /first file block: expected \d+, found 0/,
      (root) => {
        root.setUint32(28, root.getUint32(16, true), true);
      },
    ],
    [
      "a leaf that is its own child",
      /eh_depth: expected 0, found 1/,
      (root, leaf) => {
        leaf.setUint16(6, 1, true);
        leaf.setUint32(16, root.getUint32(16, true), true);
      },
    ],
    [
      "an index past the end",
      /expected blocks in 1 to 16383, found 1 at 16384/,
      (root) => {
        root.setUint32(28, 16384, true);
      },
    ],
    [
      "extents that overlap",
      /extent 1 file blocks: expected blocks in 1 to \d+, found 0 to 0/,
      (_root, leaf) => {
        leaf.setUint32(24, 0, true);
      },
    ],
    [
      "indexes out of order",
      /index 0 ei_block/,
      (root) => {
        root.setUint32(12, 700, true);
      },
    ],
    [
      "more depth than there can be",
      /eh_depth: expected 0 to 5, found 6/,
      (root) => {
        root.setUint16(6, 6, true);
      },
    ],
  ])("refuses an extent tree with %s", async (_what, expected, change) => {
    const path = makeImage(imagePath("hostile"), tree, ["-O", "none,extents,filetype,flex_bg,large_file"]);
    const image = new Uint8Array(fs.readFileSync(path));
    const reader = await Ext4Reader.open(memorySource(image));
    const { inode } = await reader.lookup(utf8ByteString("many-extents"), { followLast: false });
    const root = inode.raw.subarray(0x28, 0x28 + 60);
    const leafBlock = viewOf(root).getUint32(16, true);
    // `inode.raw` is a copy, so this is what a changed inode would look like; the leaf is in the image.
    change(viewOf(root), viewOf(image.subarray(leafBlock * 4096, (leafBlock + 1) * 4096)));
    const failure = await codeOf(reader.extents(inode));
    expect(failure).toMatch(/^DISK_IMAGE_INVALID/);
    expect(failure).toMatch(expected);
  });

  it("refuses methods on the wrong type of inode", async () => {
    const reader = await openPath(makeImage(imagePath("types"), tree, ["-O", PROFILE]));
    const root = await reader.readInode(2);
    expect(await codeOf(contentOf(reader, root))).toMatch(/^FILE_TYPE_UNSUPPORTED/);
    expect(await codeOf(reader.readLink(root))).toMatch(/^FILE_TYPE_UNSUPPORTED/);
    const { inode } = await reader.lookup(utf8ByteString("small"), { followLast: false });
    expect(await codeOf(reader.listDirectory(inode))).toMatch(/^FILE_TYPE_UNSUPPORTED/);
    for (const number of [0, -1, 1.5, NaN, 2 ** 40]) {
      expect(await codeOf(reader.readInode(number))).toMatch(/^DISK_IMAGE_INVALID/);
    }
  });
});

/** The image with one change to its superblock, and the superblock's checksum made right again. */
function withSuperblock(image: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const changed = Uint8Array.from(image);
  const view = viewOf(changed.subarray(1024, 2048));
  change(view);
  view.setUint32(0x3fc, crc32c(0xffffffff, changed.subarray(1024, 2044)), true);
  return changed;
}

describe.skipIf(!hasMke2fs)("a disk image that is refused (needs mke2fs)", () => {
  let image = new Uint8Array(0);
  beforeAll(() => {
    const small = join(scratch, "small-tree");
    fs.mkdirSync(join(small, "d"), { recursive: true });
    fs.writeFileSync(join(small, "d/f"), "content");
    image = new Uint8Array(fs.readFileSync(makeImage(imagePath("small"), small, ["-O", PROFILE])));
  });

  it.each<[string, RegExp, (view: DataView) => void]>([
    [
      "another magic number",
      /^DISK_IMAGE_INVALID.*s_magic/,
      (v) => {
        v.setUint16(0x38, 0xef52, true);
      },
    ],
    [
      "a journal to replay",
      /^DISK_IMAGE_UNSUPPORTED.*journal/,
      (v) => {
        v.setUint32(0x60, v.getUint32(0x60, true) | 4, true);
      },
    ],
    [
      "inline data",
      /^DISK_IMAGE_UNSUPPORTED.*0x8000/,
      (v) => {
        v.setUint32(0x60, v.getUint32(0x60, true) | 0x8000, true);
      },
    ],
    [
      "an unknown feature",
      /^DISK_IMAGE_UNSUPPORTED.*0x80000000/,
      (v) => {
        v.setUint32(0x60, v.getUint32(0x60, true) | 0x80000000, true);
      },
    ],
    [
      "blocks of 1024 bytes",
      /^DISK_IMAGE_UNSUPPORTED.*block size/,
      (v) => {
        v.setUint32(0x18, 0, true);
      },
    ],
    [
      "more blocks than bytes",
      /^DISK_IMAGE_INVALID.*s_blocks_count/,
      (v) => {
        v.setUint32(0x4, 16385, true);
      },
    ],
    [
      "an inode count that does not fit",
      /^DISK_IMAGE_INVALID.*s_inodes_count/,
      (v) => {
        v.setUint32(0x0, 1, true);
      },
    ],
    [
      "inodes of 100 bytes",
      /^DISK_IMAGE_INVALID.*s_inode_size/,
      (v) => {
        v.setUint16(0x58, 100, true);
      },
    ],
    [
      "groups without inodes",
      /^DISK_IMAGE_INVALID.*s_inodes_per_group/,
      (v) => {
        v.setUint32(0x28, 0, true);
      },
    ],
    [
      "groups without blocks",
      /^DISK_IMAGE_UNSUPPORTED.*s_blocks_per_group/,
      (v) => {
        v.setUint32(0x20, 0, true);
      },
    ],
  ])("has %s", async (_what, expected, change) => {
    expect(await codeOf(Ext4Reader.open(memorySource(withSuperblock(image, change))))).toMatch(expected);
  });

  it("has a wrong superblock checksum", async () => {
    const changed = Uint8Array.from(image);
    changed[1024 + 0x78]! ^= 1;
    expect(await codeOf(Ext4Reader.open(memorySource(changed)))).toMatch(
      /^DISK_IMAGE_INVALID: superblock checksum/,
    );
  });

  it.each([0, 1023, 2047])("has %i bytes", async (sizeBytes) => {
    const source = memorySource(new Uint8Array(sizeBytes));
    expect(await codeOf(Ext4Reader.open(source))).toMatch(/^DISK_IMAGE_INVALID/);
  });

  it("has a flipped bit in a group descriptor, an inode or a directory", async () => {
    const reader = await Ext4Reader.open(memorySource(image));
    expect(await drain(reader)).toBe(4);
    const tableBlock = viewOf(image).getUint32(4096 + 8, true);
    const root = await reader.readInode(2);
    const directoryBlock = (await reader.extents(root))[0]!.diskBlock;
    for (const [offset, expected] of [
      [4096 + 8, /^DISK_IMAGE_INVALID: group 0 descriptor checksum/],
      [tableBlock * 4096 + 256 + 0x82, /^DISK_IMAGE_INVALID: inode 2 checksum/],
      [tableBlock * 4096 + 256 + 0xf0, /^DISK_IMAGE_INVALID: inode 2 checksum/],
      [directoryBlock * 4096 + 4000, /^DISK_IMAGE_INVALID: directory inode 2 block 0 checksum/],
      [directoryBlock * 4096 + 4090, /^DISK_IMAGE_INVALID: directory inode 2 block 0: .*tail/],
    ] as const) {
      const changed = Uint8Array.from(image);
      changed[offset]! ^= 0x10;
      expect(await codeOf(drain(await Ext4Reader.open(memorySource(changed))))).toMatch(expected);
    }
  });
});
