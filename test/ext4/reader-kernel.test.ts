// ⚡ uses: file system, child process, process, Buffer
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ByteString, toByteString, toHex, utf8ByteString } from "../../src/base/bytes.ts";
import type { Ext4Inode, Ext4Reader } from "../../src/ext4/reader.ts";
import {
  codeOf,
  drain,
  hasDebugfs,
  hasMke2fs,
  hasTool,
  makeImage,
  makeScratch,
  openPath,
  PROFILE,
} from "./_read-support.ts";

const scratch = makeScratch();

async function find(reader: Ext4Reader, name: string): Promise<Ext4Inode> {
  return (await reader.lookup(utf8ByteString(name), { followLast: false })).inode;
}

describe.skipIf(!hasDebugfs)("what debugfs writes (needs debugfs)", () => {
  it("reads device numbers, fifos, times and attributes", async () => {
    const path = makeImage(join(scratch, "debugfs.ext4"), undefined, ["-O", PROFILE]);
    const value = join(scratch, "value");
    fs.writeFileSync(value, Buffer.alloc(1500, "v"));
    const commands = [
      "mknod old c 5 1",
      "mknod wide b 259 300",
      "mknod pipe p",
      "sif pipe mtime @-5",
      "sif pipe atime_extra 0x3b9ac9fe",
      "sif pipe uid 70000",
      "sif pipe gid 70001",
      "ea_set pipe user.small value",
      `ea_set -f ${value} pipe user.large`,
      "ea_set pipe user.longer-name 1",
      "ea_set pipe trusted.b 2",
      "ea_set pipe user.b 3",
      "ea_set pipe security.capability 12345",
      `ea_set -f ${value} pipe user.zzz`,
    ];
    execFileSync("debugfs", ["-w", "-f", "-", path], { input: commands.join("\n"), stdio: "pipe" });
    const reader = await openPath(path);
    expect(await find(reader, "old")).toMatchObject({ type: "char", deviceMajor: 5, deviceMinor: 1 });
    expect(await find(reader, "wide")).toMatchObject({ type: "block", deviceMajor: 259, deviceMinor: 300 });
    const pipe = await find(reader, "pipe");
    expect(pipe).toMatchObject({ type: "fifo", uid: 70000, gid: 70001 });
    const xattrs = await reader.readXattrs(pipe);
    expect(
      Object.fromEntries([...xattrs].map(([name, bytes]) => [name, Buffer.from(bytes).toString()])),
    ).toEqual({
      "user.small": "value",
      "user.large": "v".repeat(1500),
      "user.zzz": "v".repeat(1500),
      "user.longer-name": "1",
      "trusted.b": "2",
      "user.b": "3",
      "security.capability": "12345",
    });
  });
});

describe.skipIf(!hasDebugfs)("a directory that debugfs spoiled (needs debugfs)", () => {
  it.each([
    ["a cycle of directories", "mkdir a\nmkdir a/b\nlink a a/b/up\n", /a directory with one name/],
    [
      "a second name of a directory",
      "mkdir a\nmkdir b\nlink a b/a\n",
      /a directory with one name|inode of \.\./,
    ],
    ["the root directory in itself", "link / again\n", /offset \d+ inode: expected at least 11/],
    ["an inode that is not in use", "mknod p p\nclri p\n", /inode 12/],
  ])("has %s: walking refuses it", async (name, input, expected) => {
    const path = makeImage(join(scratch, `${name}.ext4`), undefined, ["-O", PROFILE]);
    execFileSync("debugfs", ["-w", "-f", "-", path], { input, stdio: "pipe" });
    const reader = await openPath(path);
    const failure = await codeOf(drain(reader));
    expect(failure).toMatch(/^DISK_IMAGE_INVALID/);
    expect(failure).toMatch(expected);
  });
});

it.skipIf(!hasDebugfs)("refuses to walk a directory with a name twice (needs debugfs)", async () => {
  const path = makeImage(join(scratch, "twice.ext4"), undefined, ["-O", "none,extents,filetype"]);
  const input = "mknod dup1 p\nmknod dup2 p\n";
  execFileSync("debugfs", ["-w", "-f", "-", path], { input, stdio: "pipe" });
  const bytes = fs.readFileSync(path);
  bytes.write("dup1", bytes.indexOf("dup2"), "latin1");
  fs.writeFileSync(path, bytes);
  expect(await codeOf(drain(await openPath(path)))).toMatch(
    /^DISK_IMAGE_INVALID: .*each name once, found dup1/,
  );
});

const mountPoint = join(scratch, "mounted");
/** Whether this process may mount a disk image through a loop device. */
function probeMount(): boolean {
  if (process.getuid?.() !== 0 || !hasMke2fs || !hasTool("mount", "umount", "python3")) return false;
  const path = makeImage(join(scratch, "probe.ext4"), undefined, ["-O", PROFILE]);
  fs.mkdirSync(mountPoint);
  const isMounted = spawnSync("mount", ["-o", "loop", path, mountPoint]).status === 0;
  return isMounted && spawnSync("umount", [mountPoint]).status === 0;
}
const canMount = probeMount();

/** What a Python script does to the mounted image, working in its root directory. */
function inMounted(path: string, script: string): void {
  execFileSync("mount", ["-o", "loop", path, mountPoint], { stdio: "pipe" });
  try {
    execFileSync("python3", ["-c", `import os, struct\n${script}`], { cwd: mountPoint, stdio: "pipe" });
  } finally {
    execFileSync("umount", [mountPoint]);
  }
}

/** A list with a named user, a named group and a mask, as setxattr(2) takes it. */
const ACL =
  "02000000" +
  "01000700ffffffff" +
  "02000500e8030000" +
  "04000500ffffffff" +
  "0800040032000000" +
  "10000700ffffffff" +
  "20000400ffffffff";

const WRITE_TREE = `
def put(path, name, value): os.setxattr(path, name, value)
os.mkdir("d"); open("f", "w").close(); open("bare", "w").close()
put("f", "user.small", b"value"); put("f", "user.empty", b""); put("f", "user.b\\xc3\\xa4\\xff".encode("latin1"), b"\\0\\1\\2")
put("f", "user.large", b"L" * 3001); put("f", "trusted.overlay.opaque", b"y")
put("f", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
put("d", "system.posix_acl_default", bytes.fromhex("${ACL}")); put("d", "system.posix_acl_access", bytes.fromhex("${ACL}"))
for i, (seconds, nanoseconds) in enumerate([(-2**31, 0), (-2, 500000000), (0, 1), (2**31, 999999999), (2**32 + 5, 7), (15032385535, 0)]):
  open(f"t{i}", "w").close(); os.utime(f"t{i}", ns=(seconds * 10**9 + nanoseconds,) * 2)
os.mknod("c", 0o020600, os.makedev(1, 3)); os.mknod("b", 0o060644, os.makedev(4095, 1048575))
os.mkfifo("p"); os.chown("f", 4294967294, 70000)
import socket
s = socket.socket(socket.AF_UNIX); s.bind("s"); s.close()
fd = os.open("unwritten", os.O_CREAT | os.O_RDWR); os.posix_fallocate(fd, 0, 1 << 20); os.pwrite(fd, b"x", 5000); os.close(fd)
fd = os.open("huge", os.O_CREAT | os.O_RDWR); os.pwrite(fd, b"end", (1 << 42)); os.close(fd)
os.mkdir("many"); [os.link("f", f"many/{i:05}-" + "n" * 60) for i in range(9000)]
[os.unlink(f"many/{i:05}-" + "n" * 60) for i in range(0, 9000, 3)]
os.symlink("z" * 4000, "long")
`;

describe.skipIf(!canMount)("what the kernel writes (needs root, loop mounts and python3)", () => {
  it.each([
    ["our profile", PROFILE],
    ["64-bit", "^has_journal,64bit"],
    ["ea_inode", "^has_journal,ea_inode,metadata_csum_seed"],
    ["no checksums", "^has_journal,^metadata_csum"],
  ])("comes back whole: %s", async (name, features) => {
    const path = makeImage(join(scratch, `${name}.ext4`), undefined, ["-O", features]);
    const big = features.includes("ea_inode") ? `put("bare", "user.big", bytes(range(256)) * 160)` : "";
    inMounted(path, WRITE_TREE + big);
    const reader = await openPath(path);
    await expectAttributes(reader);
    await expectTimesAndDevices(reader);
    if (big !== "") {
      const value = (await reader.readXattrs(await find(reader, "bare"))).get(utf8ByteString("user.big"));
      expect(
        Buffer.compare(
          value ?? Buffer.alloc(0),
          Buffer.alloc(
            40960,
            Uint8Array.from({ length: 256 }, (_, i) => i),
          ),
        ),
      ).toBe(0);
    } else expect((await reader.readXattrs(await find(reader, "bare"))).size).toBe(0);
    await expectFiles(reader);
  });

  it("reads long directories and five thousand levels", { timeout: 300_000 }, async () => {
    const path = makeImage(join(scratch, "large.ext4"), undefined, [
      "-O",
      `${PROFILE},dir_nlink`,
      "-N",
      "20000",
    ]);
    inMounted(
      path,
      `
open("f", "w").close()
for k in range(5): os.mkdir(f"{k}")
for k in range(5):
  for i in range(8000): os.link("f", f"{k}/{i}")
for i in range(5000): os.mkdir("deep"); os.chdir("deep")
`,
    );
    const reader = await openPath(path);
    expect(await drain(reader)).toBe(1 + 1 + 1 + 5 + 40_000 + 5000);
    const deep = await reader.lookup(utf8ByteString("deep/".repeat(5000)), { followLast: true });
    expect(await reader.listDirectory(deep.inode)).toEqual([]);
  });
});

async function expectAttributes(reader: Ext4Reader): Promise<void> {
  const hexOf = (xattrs: ReadonlyMap<ByteString, Uint8Array>): Record<string, string> =>
    Object.fromEntries([...xattrs].map(([name, value]) => [name, toHex(value)]));
  const file = await find(reader, "f");
  expect(file).toMatchObject({ uid: 4294967294, gid: 70000 });
  expect(hexOf(await reader.readXattrs(file))).toEqual({
    "user.small": toHex(Buffer.from("value")),
    "user.empty": "",
    [toByteString(Buffer.from("user.b\xc3\xa4\xff", "latin1"))]: "000102",
    "user.large": "4c".repeat(3001),
    "trusted.overlay.opaque": "79",
    // chown(2) drops security.capability.
  });
  expect(hexOf(await reader.readXattrs(await find(reader, "d")))).toEqual({
    "system.posix_acl_default": ACL,
    "system.posix_acl_access": ACL,
  });
}

async function expectTimesAndDevices(reader: Ext4Reader): Promise<void> {
  const times = [
    [-(2 ** 31), 0],
    [-2, 500_000_000],
    [0, 1],
    [2 ** 31, 999_999_999],
    [2 ** 32 + 5, 7],
    [15_032_385_535, 0],
  ];
  for (const [i, [seconds, nanoseconds]] of times.entries()) {
    expect(await find(reader, `t${i}`)).toMatchObject({
      mtime: { seconds, nanoseconds },
      atime: { seconds, nanoseconds },
    });
  }
  expect(await find(reader, "c")).toMatchObject({
    type: "char",
    mode: 0o600,
    deviceMajor: 1,
    deviceMinor: 3,
  });
  const block = { type: "block", deviceMajor: 4095, deviceMinor: 1_048_575 };
  expect(await find(reader, "b")).toMatchObject(block);
  expect(await find(reader, "p")).toMatchObject({ type: "fifo" });
  expect(await find(reader, "s")).toMatchObject({ type: "socket" });
}

async function expectFiles(reader: Ext4Reader): Promise<void> {
  const read = async (name: string, offsetBytes: number, sizeBytes?: number): Promise<Buffer> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of reader.readFile(await find(reader, name), { offsetBytes, sizeBytes }))
      pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const expected = Buffer.alloc(1 << 20);
  expected[5000] = 0x78;
  expect(Buffer.compare(await read("unwritten", 0), expected)).toBe(0);
  const extents = await reader.extents(await find(reader, "unwritten"));
  expect(extents.some((extent) => extent.isUnwritten)).toBe(true);
  expect((await read("huge", 2 ** 42 - 3)).toString("latin1")).toBe("\0\0\0end");
  const many = await find(reader, "many");
  expect(many.flags & 0x1000, "the hash tree flag").toBe(0x1000);
  expect(await reader.listDirectory(many)).toHaveLength(6000);
  expect(await reader.readLink(await find(reader, "long"))).toBe("z".repeat(4000));
}
