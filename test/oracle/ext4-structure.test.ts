// ⚡ uses: process
/** The writer at the edges of ext4's structures for disks, files and inodes; judged from outside. */
import { expect, test } from "vitest";

import { FILE_BYTES_MAX } from "../../src/base/limit.ts";
import { GIB, KIB, MIB, TIB } from "../../src/base/units.ts";
import type { SizeRequest } from "../../src/ext4/geometry.ts";
import { buildDiskImage } from "../support/disk-image.ts";
import { codeOf, expectRecipe, inMount, withDiskFile } from "../support/judge-disk.ts";
import { describeWith, fsck, testWith, walkTree, withMount } from "../support/judge.ts";
import { recipeTar, type RecipeEntry } from "../support/tree-recipe.ts";

const SMALL_TREE: readonly RecipeEntry[] = [
  { path: "/d", type: "dir" },
  { path: "/d/f", body: "text" },
  { path: "/l", target: "d/f" },
];
const total = (sizeBytes: number): SizeRequest => ({ kind: "total", sizeBytes });
const isSlow = process.env["SLOW"] === "1";

describeWith(["e2fsck"], "the size of the disk", () => {
  const group = 128 * MIB;

  test.each<[string, SizeRequest, number]>([
    ["the room the user asks for, none", { kind: "free", sizeBytes: 0 }, group],
    ["one byte of room", { kind: "free", sizeBytes: 1 }, group],
    ["what is left to us", { kind: "auto" }, group],
    ["one group less a chunk", total(group - 512 * KIB), group - 512 * KIB],
    ["exactly one group", total(group), group],
    ["one byte into the second group", total(group + 1), group + 512 * KIB],
    ["two chunks into the second group", total(group + 1024 * KIB), group + 1024 * KIB],
    ["a second group of 32 chunks", total(group + 16 * MIB), group + 16 * MIB],
    ["63 groups: bitmaps beside the superblock", total(63 * group), 63 * group],
    ["64 groups: bitmaps after the tables", total(64 * group), 64 * group],
    ["16 groups: one flexible group", total(16 * group), 16 * group],
    ["a chunk more than 16 groups", total(16 * group + 1), 16 * group + 512 * KIB],
    ["128 groups: a block of descriptors", total(128 * group), 128 * group],
    ["129 groups: a second block of descriptors", total(129 * group), 129 * group],
  ])("is right for %s", async (_, sizeRequest, sizeBytes) => {
    const disk = await expectRecipe(SMALL_TREE, { sizeRequest });
    expect(disk.sizeBytes).toBe(sizeBytes);
  });

  test("may be as small as its content would be if none of it lay beside the superblock", async () => {
    // Chunk 0, one of files, one that metadata would need, and one of tables.
    const least = 4 * 512 * KIB;
    const disk = await expectRecipe(SMALL_TREE, { sizeRequest: total(least) });
    expect(disk.plan.geometry.contentEnd * 4096).toBe(least - 512 * KIB);
    for (const sizeBytes of [512 * KIB, least - 512 * KIB]) {
      const refusal = (): unknown =>
        buildDiskImage([recipeTar(SMALL_TREE)], { sizeRequest: total(sizeBytes) });
      expect(codeOf(refusal)).toBe("DISK_TOO_SMALL");
    }
  });

  test("may be as small as its content where chunk 0 saves it no chunk", async () => {
    // 253 blocks of metadata: two chunks of them either way.
    const entries = Array.from({ length: 252 }, (_, i) => ({ path: `/l${i}`, target: "t".repeat(60) }));
    const build = (sizeBytes: number): unknown =>
      buildDiskImage([recipeTar(entries)], { sizeRequest: total(sizeBytes) });
    const { contentEnd } = buildDiskImage([recipeTar(entries)], { sizeRequest: total(8 * MIB) }).plan
      .geometry;
    const disk = await expectRecipe(entries, { sizeRequest: total(contentEnd * 4096) });
    expect(disk.plan.geometry.contentEnd).toBe(disk.plan.geometry.blockCount);
    expect(codeOf(() => build(contentEnd * 4096 - 512 * KIB))).toBe("DISK_TOO_SMALL");
  });

  test("may end in the middle of the metadata's group", async () => {
    // The content fills the first group; tables and bitmaps lie in a short second one.
    const entries = [{ path: "/f", body: new Uint8Array(126 * MIB).fill(7) }, ...SMALL_TREE];
    const roomy = buildDiskImage([recipeTar(entries)], { sizeRequest: { kind: "free", sizeBytes: 0 } });
    const { contentEnd } = roomy.plan.geometry;
    expect(contentEnd).toBeGreaterThan(32768);
    await expectRecipe(entries, { sizeRequest: total(contentEnd * 4096) });
  });

  test("is right for an empty image", async () => {
    await expectRecipe([]);
  });

  test.runIf(isSlow)(
    "may be the largest there is, and no larger",
    async () => {
      const largest = 16_256 * group;
      await expectRecipe(SMALL_TREE, { sizeRequest: total(largest) });
      const larger = (): unknown =>
        buildDiskImage([recipeTar(SMALL_TREE)], { sizeRequest: total(largest + 1) });
      expect(codeOf(larger)).toBe("DISK_TOO_LARGE");
    },
    600_000,
  );
});

describeWith(["e2fsck", "mount", "python3"], "free inodes and blocks", () => {
  const FILL = `
count = 0
try:
    while True:
        os.close(os.open(f"{top}/new{count}", os.O_CREAT | os.O_WRONLY))
        count += 1
except OSError as error:
    print(json.dumps([count, errno.errorcode[error.errno], os.statvfs(top).f_ffree]))`;

  test("are given out to the last inode by the kernel", async () => {
    const entries = Array.from({ length: 16 }, (_, i) => ({ path: `/f${i}` }));
    // Chunk 0, one that metadata would need, and one of tables.
    const disk = buildDiskImage([recipeTar(entries)], { sizeRequest: total(3 * 512 * KIB) });
    const { inodesPerGroup } = disk.plan.geometry;
    const found = JSON.parse(await inMount(disk, false, FILL)) as unknown;
    // 10 are reserved, 16 are ours.
    expect(found).toEqual([inodesPerGroup - 26, "ENOSPC", 0]);
  });

  test("are told by statfs as the plan has them", async () => {
    const script = "v = os.statvfs(top); print(json.dumps([v.f_bsize, v.f_bfree, v.f_files, v.f_ffree]))";
    const disk = buildDiskImage([recipeTar(SMALL_TREE)], { sizeRequest: total(256 * MIB) });
    const { groupCount, inodesPerGroup, inodeTableBlocksPerGroup } = disk.plan.geometry;
    const inodeCount = groupCount * inodesPerGroup;
    // In use: superblock and descriptors, two directories, one block of text, tables, two bitmaps a group.
    const used = 2 + 2 + 1 + groupCount * (inodeTableBlocksPerGroup + 2);
    expect(JSON.parse(await inMount(disk, true, script))).toEqual([
      4096,
      65536 - used,
      inodeCount,
      inodeCount - 10 - 3,
    ]);
  });
});

/** A file of so many extents: blocks with a byte, and a hole between two. */
function holed(path: string, extentCount: number): RecipeEntry {
  const parts = Array.from({ length: extentCount }, (_, i) => ({ offset: i * 8192, bytes: "x" }));
  return { path, sparse: { sizeBytes: (extentCount - 1) * 8192 + 1, parts } };
}

describeWith(["e2fsck"], "files", () => {
  test("of sizes around a block", async () => {
    const sizes = [0, 1, 4095, 4096, 4097, 8191, 8192, 8193];
    await expectRecipe(sizes.map((size) => ({ path: `/f${size}`, body: "z".repeat(size) })));
  });

  test("of as many extents as fit the inode, a block, four blocks, and one more", async () => {
    const counts = [1, 4, 5, 340, 341, 340 * 4, 340 * 4 + 1];
    await expectRecipe(counts.map((count) => holed(`/f${count}`, count)));
  });

  test.runIf(isSlow)(
    "of more extents than two levels hold",
    async () => {
      await expectRecipe([holed("/f", 340 * 340 * 4 + 1)]);
    },
    600_000,
  );

  test("of the longest extent and a block more", async () => {
    const bytes = new Uint8Array(128 * MIB + 4096);
    bytes.set([1, 2, 3], 128 * MIB - 2);
    const disk = await expectRecipe([
      { path: "/one", body: bytes.subarray(4096) },
      { path: "/two", body: bytes },
    ]);
    expect(disk.sizeBytes).toBeGreaterThan(256 * MIB);
  });

  test("that are holes only, begin or end with one", async () => {
    await expectRecipe([
      { path: "/empty", sparse: { sizeBytes: 1 * MIB, parts: [] } },
      { path: "/end", sparse: { sizeBytes: 1 * MIB, parts: [{ offset: 0, bytes: "begin" }] } },
      { path: "/begin", sparse: { sizeBytes: 1 * MIB + 3, parts: [{ offset: 1 * MIB, bytes: "end" }] } },
    ]);
  });

  test("of whole chunks between holes that end within a block", async () => {
    const parts = ["a", "b", "c"].map((letter, i) => ({
      offset: i * 4 * MIB + 512 * (i + 1),
      bytes: letter.repeat((i + 1) * 512 * KIB - 1024),
    }));
    await expectRecipe([{ path: "/holed", sparse: { sizeBytes: 16 * MIB, parts } }]);
  });
});

describeWith(["e2fsck", "mount", "python3"], "sparse files of any size", () => {
  const sizes = [5 * GIB, 100 * GIB, 15 * TIB, FILE_BYTES_MAX];

  test("have their size, their bytes and their holes", async () => {
    const entries = sizes.map((sizeBytes, i) => ({
      path: `/f${i}`,
      sparse: {
        sizeBytes,
        parts: [
          { offset: 4096, bytes: "near" },
          { offset: Math.floor(sizeBytes / 8192) * 4096, bytes: "middle" },
          { offset: sizeBytes - 3, bytes: "end" },
        ],
      },
    }));
    const script = `
for i in range(${sizes.length}):
    fd = os.open(f"{top}/f{i}", os.O_RDONLY)
    st = os.fstat(fd)
    near = os.lseek(fd, 0, os.SEEK_DATA)
    middle = os.lseek(fd, 8192, os.SEEK_DATA)
    end = os.lseek(fd, middle + 4096, os.SEEK_DATA)
    texts = [os.pread(fd, n, at).decode() for n, at in ((4, near), (6, middle), (4, st.st_size - 3))]
    print(json.dumps([st.st_size, st.st_blocks, near, middle, end, texts]))`;
    const disk = buildDiskImage([recipeTar(entries)]);
    const lines = (await inMount(disk, true, script)).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(
      sizes.map((size) => [
        size,
        24,
        4096,
        Math.floor(size / 8192) * 4096,
        Math.floor((size - 3) / 4096) * 4096,
        ["near", "middle", "end"],
      ]),
    );
  });

  test("are refused one byte above the largest", () => {
    const entry = {
      path: "/f",
      sparse: { sizeBytes: FILE_BYTES_MAX + 1, parts: [{ offset: 0, bytes: "x" }] },
    };
    expect(codeOf(() => buildDiskImage([recipeTar([entry])]))).toBe("FILE_TOO_LARGE");
  });
});

describeWith(["e2fsck"], "inodes", () => {
  test("of symlinks, in the inode and in a block", async () => {
    const lengths = [1, 58, 59, 60, 61, 254, 255, 256, 4094, 4095];
    await expectRecipe(lengths.map((length) => ({ path: `/l${length}`, target: "t".repeat(length) })));
  });

  test("of devices up to the largest numbers, and of pipes", async () => {
    const numbers = [
      [0, 0],
      [1, 3],
      [255, 255],
      [255, 256],
      [256, 0],
      [256, 255],
      [4095, 1_048_575],
    ] as const;
    await expectRecipe([
      ...numbers.map((rdev) => ({ path: `/c${rdev.join(":")}`, type: "char" as const, rdev })),
      ...numbers.map((rdev) => ({ path: `/b${rdev.join(":")}`, type: "block" as const, rdev, mode: 0o60 })),
      { path: "/p", type: "fifo", mode: 0o7777 },
    ]);
  });

  test("with the earliest and the last time, and those between", async () => {
    const [first, last] = [-(2 ** 31), 2 ** 34 - 2 ** 31 - 1];
    const times: (readonly [number, number])[] = [
      [first, 0],
      [first, 1],
      [-1, 999_999_999],
      [-1, 0],
      [0, 1],
      [2 ** 31 - 1, 999_999_999],
      [2 ** 31, 0],
      [2 ** 32 - 1, 5],
      [2 ** 32, 5],
      [2 ** 32 + 2 ** 31, 5],
      [2 ** 33 + 2 ** 31 - 1, 0],
      [2 ** 33 + 2 ** 32, 0],
      [last, 0],
      [last, 999_999_999],
    ];
    const clamped: RecipeEntry[] = [
      { path: "/a", mtime: [first - 1, 999_999_999], expectedMtime: [first, 0] },
      { path: "/b", mtime: [last + 1, 0], expectedMtime: [last, 999_999_999] },
      { path: "/c", type: "dir", mtime: [2 ** 40, 7], expectedMtime: [last, 999_999_999] },
    ];
    const kept = times.map((mtime, i) => ({ path: `/t${i}`, mtime }));
    const disk = await expectRecipe([...kept, ...clamped]);
    expect(disk.plan.clampedTimeCount).toBe(3);
  });

  testWith(
    ["mount", "python3"],
    "with times of the years 2310 to 2378, at which e2fsck shakes its head",
    async () => {
      // e2fsck takes them for times before 1970 as kernels before 3.14 wrote them, and asks; its status is still 0.
      const mtime = [2 ** 33 + 2 ** 31, 5] as const;
      await withDiskFile(buildDiskImage([recipeTar([{ path: "/f", mtime }])]), async (file) => {
        await expect(fsck(file)).rejects.toThrow(/exit status 0\n[^]*beyond 2310-04-04 are likely pre-1970/);
        const found = await withMount(file, { readOnly: true }, walkTree);
        expect(found.find(({ path }) => path === "/f")?.mtime).toEqual(mtime);
      });
    },
  );

  test("with every mode and with large owners", async () => {
    const modes = [0, 0o777, 0o1000, 0o2000, 0o4000, 0o7777];
    const ids = [65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2];
    await expectRecipe([
      { path: "/", type: "dir", mode: 0o1711, uid: 70_000, gid: 80_000, mtime: [5, 6] },
      ...modes.map((mode) => ({ path: `/f${mode}`, mode })),
      ...modes.map((mode) => ({ path: `/d${mode}`, type: "dir" as const, mode })),
      ...ids.map((id, i) => ({ path: `/i${i}`, uid: id, gid: ids[ids.length - 1 - i] ?? 0 })),
    ]);
  });

  test("with the owner that means none: on the disk it is there, e2fsck does not mind", async () => {
    const disk = buildDiskImage([recipeTar([{ path: "/f", uid: 2 ** 32 - 1, gid: 2 ** 32 - 1 }])]);
    await withDiskFile(disk, fsck);
  });
});

describeWith(["e2fsck", "mount", "python3"], "hard links", () => {
  /** A file with 65,001 names, entry by entry; the last piece ends the tar. */
  const pieces = [
    ...recipeTar([
      { path: "/f", body: "text" },
      ...Array.from({ length: 65_000 }, (_, i) => ({
        path: `/${i}`,
        type: "hardlink" as const,
        target: "/f",
      })),
    ]),
  ];

  test("may be 65,000 of one file", async () => {
    const disk = buildDiskImage([pieces.toSpliced(-2, 1)]);
    const script = `
stats = [os.lstat(f"{top}/{name}") for name in os.listdir(top)]
print(json.dumps([len(stats), len({st.st_ino for st in stats}), sorted({(st.st_nlink, st.st_size) for st in stats})]))`;
    expect(JSON.parse(await inMount(disk, true, script))).toEqual([65_000, 1, [[65_000, 4]]]);
  });

  test("may not be 65,001", () => {
    expect(codeOf(() => buildDiskImage([pieces]))).toBe("LINKS_TOO_MANY");
  });

  test("are right for devices, pipes and symlinks", async () => {
    await expectRecipe([
      { path: "/c", type: "char", rdev: [1, 3] },
      { path: "/p", type: "fifo" },
      { path: "/l", target: "x".repeat(100) },
      ...["c", "p", "l"].map((name) => ({
        path: `/${name}2`,
        type: "hardlink" as const,
        target: `/${name}`,
      })),
    ]);
  });
});
