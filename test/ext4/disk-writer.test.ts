import { describe, expect, test } from "vitest";

import { isAllZero, utf8ByteString, viewOf } from "../../src/base/bytes.ts";
import { writeMetadata } from "../../src/ext4/disk-writer.ts";
import { Ext4Reader } from "../../src/ext4/reader.ts";
import { buildDiskImage, diskDigestOf, sourceOf, type DiskImage } from "../support/disk-image.ts";
import { recipeTar, type RecipeEntry } from "../support/tree-recipe.ts";

const ENTRIES: readonly RecipeEntry[] = [
  { path: "/d", type: "dir", mtime: [9, 8] },
  { path: "/d/f", body: "text".repeat(5000), xattrs: { "user.a": "v".repeat(300) } },
  {
    path: "/d/holes",
    sparse: { sizeBytes: 100_000, parts: [0, 1, 2, 3, 4].map((i) => ({ offset: i * 16_384, bytes: "x" })) },
  },
  { path: "/large", xattrs: { "user.l": "l".repeat(10_000) } },
  { path: "/long", target: "t".repeat(500) },
  { path: "/short", target: "d/f" },
  { path: "/many", type: "dir" },
  ...Array.from({ length: 300 }, (_, i) => ({ path: `/many/${"n".repeat(100)}${i}` })),
];

const build = (entries: readonly RecipeEntry[] = ENTRIES): DiskImage => buildDiskImage([recipeTar(entries)]);

const DISK = build();

const newChunk = (): Uint8Array => new Uint8Array(512 * 1024);

async function statOf(
  disk: DiskImage,
  path: string,
): Promise<{ blocks512: number; linkCount: number; flags: number }> {
  const reader = await Ext4Reader.open(sourceOf(disk));
  const { inode } = await reader.lookup(utf8ByteString(path), { followLast: false });
  return { blocks512: inode.blocks512, linkCount: inode.linkCount, flags: inode.flags };
}

describe("the writer of metadata", () => {
  test("gives each chunk once, in ascending order, the first one last", () => {
    const indexes = [...writeMetadata(DISK.plan, newChunk)].map(({ chunkIndex }) => chunkIndex);
    expect(indexes.at(-1)).toBe(0);
    const others = indexes.slice(0, -1);
    expect(others).toEqual([...new Set(others)].sort((a, b) => a - b));
    expect(Math.min(...others)).toBeGreaterThan(0);
  });

  test("gives whole chunks that are the receiver's, none of them zero", () => {
    const made: Uint8Array[] = [];
    const chunks = [
      ...writeMetadata(DISK.plan, () => {
        made.push(newChunk());
        return made.at(-1)!;
      }),
    ];
    expect(new Set(chunks.map(({ bytes }) => bytes))).toEqual(new Set(made));
    for (const { bytes } of chunks) {
      expect(bytes).toHaveLength(512 * 1024);
      expect(isAllZero(bytes)).toBe(false);
    }
    expect(new Set(chunks.map(({ bytes }) => bytes.buffer)).size).toBe(chunks.length);
  });

  test("gives the same bytes each time", () => {
    expect(diskDigestOf(build())).toBe(diskDigestOf(DISK));
  });

  test("gives other bytes for another time of one file", () => {
    const other = ENTRIES.map((entry) =>
      entry.path === "/d" ? { ...entry, mtime: [9, 9] as const } : entry,
    );
    expect(diskDigestOf(build(other))).not.toBe(diskDigestOf(DISK));
  });

  test("leaves the boot sector and all padding zero", () => {
    const first = DISK.chunks.get(0)!;
    expect(isAllZero(first.subarray(0, 1024))).toBe(true);
    expect(viewOf(first).getUint16(1024 + 0x38, true)).toBe(0xef53);
    expect(isAllZero(first.subarray(2048, 4096))).toBe(true);
  });

  test.each([
    // In units of 512 bytes: data, extent blocks, the block of attributes, and values outside it.
    ["/d", 8, 3 - 1],
    ["/d/f", 5 * 8 + 8, 1],
    ["/d/holes", 5 * 8 + 8, 1],
    ["/large", 8 + 3 * 8, 1],
    ["/long", 8, 1],
    ["/short", 0, 1],
    ["/", 8, 4],
  ])("counts the room of %s", async (path, blocks512, linkCount) => {
    expect(await statOf(DISK, path)).toMatchObject({ blocks512, linkCount });
  });

  test("sets the flags that each inode's content asks for", async () => {
    const flags = async (path: string): Promise<number> => (await statOf(DISK, path)).flags;
    expect(await flags("/d")).toBe(0x80000);
    expect(await flags("/many")).toBe(0x81000);
    expect(await flags("/short")).toBe(0);
    expect(await flags("/long")).toBe(0x80000);
  });
});
