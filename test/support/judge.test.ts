/** Each judge can say no: a judge that never does proves nothing. */
import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, open, readdir, writeFile } from "node:fs/promises";
import { existsSync, mkdirSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import {
  compareTrees,
  describeWith,
  fateWithout,
  fsck,
  run,
  umociTree,
  walkTree,
  withMount,
} from "./judge.ts";
import type { Aspect, ExpectedEntry, JudgedEntry } from "./judge.ts";
import { tarBuilder } from "./tar-builder.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "lambda-img-judge-"));
});
afterAll(async () => {
  await run("rm", ["-r", "-f", "--", folder]);
});

async function makeDiskImage(name: string): Promise<string> {
  const diskImage = path.join(folder, name);
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-O", "metadata_csum", diskImage, "8M"]);
  return diskImage;
}

async function overwrite(file: string, offset: number, bytes: Uint8Array): Promise<void> {
  const opened = await open(file, "r+");
  try {
    await opened.write(bytes, 0, bytes.length, offset);
  } finally {
    await opened.close();
  }
}

const STRICT = { LAMBDA_IMG_REQUIRE_JUDGES: "1" };

test.each<["run" | "skip" | "fail", readonly string[], Readonly<Record<string, string>>]>([
  ["run", [], {}],
  ["run", [], STRICT],
  ["skip", ["mount"], {}],
  ["skip", ["mount"], { CI: "false", LAMBDA_IMG_REQUIRE_JUDGES: "0" }],
  ["fail", ["mount"], { CI: "true" }],
  ["fail", ["mount"], STRICT],
  ["skip", ["mount"], { ...STRICT, LAMBDA_IMG_WAIVE_JUDGES: "mount" }],
  ["skip", ["mount", "umoci"], { ...STRICT, LAMBDA_IMG_WAIVE_JUDGES: "umoci,mount" }],
  ["fail", ["mount", "umoci"], { ...STRICT, LAMBDA_IMG_WAIVE_JUDGES: "umoci" }],
])("tests %s where %j are missing and the environment has %j", (fate, missing, environment) => {
  expect(fateWithout(missing, environment)).toBe(fate);
});

describeWith(["e2fsck", "mke2fs", "debugfs"], "fsck", () => {
  test("takes a good disk image and gives the line of totals", async () => {
    expect(await fsck(await makeDiskImage("good.ext4"))).toMatch(
      /^.*: 11\/\d+ files \(.*\), \d+\/\d+ blocks$/,
    );
  });

  test("refuses a damaged one", async () => {
    const diskImage = await makeDiskImage("damaged.ext4");
    // The free block count of the superblock, whose checksum then is wrong too.
    await overwrite(diskImage, 1024 + 12, Uint8Array.of(1, 2, 3, 4));
    await expect(fsck(diskImage)).rejects.toThrow(/e2fsck -fn .*exit status/);
  });

  test("refuses what is no disk image, and what is not there", async () => {
    const file = path.join(folder, "text");
    await writeFile(file, "x".repeat(100_000));
    await expect(fsck(file)).rejects.toThrow("exit status 8");
    await expect(fsck(path.join(folder, "gone"))).rejects.toThrow("exit status 8");
  });

  test("refuses a remark even where the status is 0", async () => {
    const diskImage = await makeDiskImage("remark.ext4");
    // A free count that is wrong under a right checksum: e2fsck mentions it, and calls the file system clean.
    execFileSync("debugfs", ["-w", "-R", "set_super_value free_blocks_count 1", diskImage], {
      stdio: "ignore",
    });
    await expect(fsck(diskImage)).rejects.toThrow("Free blocks count wrong");
  });
});

describeWith(["mke2fs", "mount"], "withMount", () => {
  const isMounted = (place: string): boolean =>
    execFileSync("cat", ["/proc/self/mounts"], { encoding: "utf8" }).includes(` ${place} `);

  test("mounts read-only, and is gone after a failure", async () => {
    const diskImage = await makeDiskImage("failure.ext4");
    let seen = "";
    const use = async (place: string): Promise<void> => {
      seen = place;
      expect(isMounted(place)).toBe(true);
      await expect(writeFile(path.join(place, "a"), "")).rejects.toThrow("EROFS");
      throw new Error("planted");
    };
    await expect(withMount(diskImage, { readOnly: true }, use)).rejects.toThrow("planted");
    expect(isMounted(seen)).toBe(false);
    expect(existsSync(seen)).toBe(false);
  });

  test("mounts for writing, and keeps what is written", async () => {
    const diskImage = await makeDiskImage("writing.ext4");
    await withMount(diskImage, { readOnly: false }, (place) => writeFile(path.join(place, "a"), "text"));
    const names = await withMount(diskImage, { readOnly: true }, (place) => readdir(place));
    expect(names).toEqual(["a", "lost+found"]);
  });

  test("waits for a user who is slow to leave", async () => {
    const diskImage = await makeDiskImage("slow.ext4");
    await withMount(diskImage, { readOnly: true }, async (place) => {
      const sleeper = promisify(execFile)("sleep", ["0.5"], { cwd: place });
      sleeper.catch(() => undefined);
      await Promise.resolve();
    });
  });

  test("refuses what is no file system", async () => {
    const file = path.join(folder, "zeros");
    await writeFile(file, new Uint8Array(1 << 20));
    await expect(withMount(file, { readOnly: true }, () => Promise.resolve())).rejects.toThrow("mount");
  });
});

describeWith(["mke2fs", "mount", "python3", "tar"], "walkTree", () => {
  test("tells everything about every kind of entry", async () => {
    const diskImage = await makeDiskImage("kinds.ext4");
    const tar = path.join(folder, "kinds.tar");
    const bytes = tarBuilder()
      .dir("./", { mode: 0o751, uid: 1, gid: 2, mtime: 100 })
      .pax([["mtime", "-1.5"]])
      .file("./\xff\n", "hello", { mode: 0o4755, uid: 3, gid: 4 })
      .hardlink("./again", "./\xff\n")
      .symlink("./s", "to/\xfe", { mtime: 7 })
      .device("./c", "char", { devmajor: 1, devminor: 300, mtime: 7 })
      .fifo("./p", { mtime: 7 })
      .end();
    await writeFile(tar, bytes);
    const entries = await withMount(diskImage, { readOnly: false }, async (place) => {
      await run("rmdir", [path.join(place, "lost+found")]);
      await run("tar", ["-C", place, "--numeric-owner", "-p", "-xf", tar]);
      const plant = [
        `import os; os.chdir(${JSON.stringify(place)})`,
        'os.setxattr("again", "user.x", b"\\0\\xff")',
        'os.setxattr("s", "trusted.y", b"z", follow_symlinks=False)',
      ];
      await run("python3", ["-c", plant.join("\n")]);
      return await walkTree(place);
    });
    const linked = {
      ...{ type: "file", mode: 0o4755, uid: 3, gid: 4, mtime: [-2, 500_000_000], nlink: 2, link: 1, size: 5 },
      sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
      xattrs: { "user.x": "AP8=" },
    };
    const plain = { uid: 0, gid: 0, mtime: [7, 0], nlink: 1 };
    expect(entries).toEqual([
      { path: "/", type: "dir", mode: 0o751, uid: 1, gid: 2, mtime: [100, 0], nlink: 2, xattrs: {} },
      { path: "/again", ...linked },
      { path: "/c", type: "char", mode: 0o644, ...plain, xattrs: {}, rdev: [1, 300] },
      { path: "/p", type: "fifo", mode: 0o644, ...plain, xattrs: {} },
      {
        path: "/s",
        type: "symlink",
        mode: 0o777,
        ...plain,
        xattrs: { "trusted.y": "eg==" },
        target: "to/\xfe",
      },
      { path: "/\xff\n", ...linked },
    ]);
  });

  test("goes deeper than the longest path of the kernel", async () => {
    const top = path.join(folder, "deep");
    mkdirSync(top);
    const level = "d".repeat(200);
    const program = `import os\nos.chdir(${JSON.stringify(top)})\nfor _ in range(60): os.mkdir("${level}"); os.chdir("${level}")\nopen("end", "w").close()`;
    await run("python3", ["-c", program]);
    const entries = await walkTree(top);
    expect(entries).toHaveLength(62);
    expect(entries.at(-1)?.path).toBe(`/${level}`.repeat(60) + "/end");
  });

  test("fails where a part cannot be read", async () => {
    await expect(walkTree(path.join(folder, "gone"))).rejects.toThrow("exit status 1");
  });
});

describe("compareTrees", () => {
  const plain = { mode: 0o755, uid: 0, gid: 0, mtime: [1, 2] as const, xattrs: {} };
  const tree: readonly JudgedEntry[] = [
    { ...plain, path: "/", type: "dir", nlink: 3 },
    { ...plain, path: "/c", type: "char", nlink: 1, rdev: [1, 2] },
    { ...plain, path: "/d", type: "dir", nlink: 2 },
    {
      ...plain,
      path: "/f",
      type: "file",
      nlink: 2,
      link: 1,
      size: 1,
      sha256: "aa",
      xattrs: { "user.a": "AA==" },
    },
    {
      ...plain,
      path: "/g",
      type: "file",
      nlink: 2,
      link: 1,
      size: 1,
      sha256: "aa",
      xattrs: { "user.a": "AA==" },
    },
    { ...plain, path: "/s", type: "symlink", nlink: 1, mode: 0o777, target: "f" },
  ];
  const change = (place: string, fields: Partial<JudgedEntry>): JudgedEntry[] =>
    tree.map((entry) => (entry.path === place ? { ...entry, ...fields } : entry));

  test("finds nothing between equal trees, whatever numbers link groups have", () => {
    const other = tree.map((entry) => (entry.link === undefined ? entry : { ...entry, link: 77 }));
    expect(compareTrees(other, tree)).toEqual([]);
  });

  test.each<[string, Partial<JudgedEntry>, Aspect]>([
    ["/d", { mode: 0o700 }, "mode"],
    ["/s", { mode: 0o755 }, "mode"],
    ["/d", { uid: 1 }, "owner"],
    ["/d", { gid: 1 }, "owner"],
    ["/d", { mtime: [1, 3] }, "mtime"],
    ["/d", { mtime: [0, 2] }, "mtime"],
    ["/f", { size: 2 }, "size"],
    ["/f", { sha256: "ab" }, "content"],
    ["/f", { xattrs: {} }, "xattrs"],
    ["/f", { xattrs: { "user.a": "AQ==" } }, "xattrs"],
    ["/d", { xattrs: { "user.b": "" } }, "xattrs"],
    ["/s", { target: "g" }, "target"],
    ["/c", { rdev: [1, 3] }, "rdev"],
    ["/c", { type: "block" }, "type"],
    ["/d", { nlink: 3 }, "nlink"],
    ["/f", { nlink: 1 }, "nlink"],
  ])("finds a planted difference: %s %j", (place, fields, aspect) => {
    const found = compareTrees(tree, change(place, fields));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(new RegExp(`^${aspect}: ${place}: `));
    expect(compareTrees(tree, change(place, fields), { overlook: (it) => it === aspect })).toEqual([]);
  });

  test("finds what is missing, what is too much, and what is there twice", () => {
    const without = tree.filter((entry) => entry.path !== "/s");
    expect(compareTrees(tree, without)).toEqual(["missing: /s: symlink"]);
    expect(compareTrees(without, tree)).toEqual(["extra: /s: symlink"]);
    expect(compareTrees(tree, [...tree, ...tree.slice(5)])).toEqual(["twice: /s: among the found entries"]);
  });

  test("finds links that are copies, and copies that are links", () => {
    const copies = tree.map(({ link, ...entry }) => (link === undefined ? entry : { ...entry, nlink: 1 }));
    expect(compareTrees(tree, copies)).toHaveLength(2);
    expect(compareTrees(copies, tree).filter((line) => line.startsWith("links: "))).toHaveLength(2);
  });

  test("wants one link of a directory with 64,998 subdirectories, and counts below", () => {
    const full = (count: number, nlink: number): JudgedEntry[] => [
      { ...plain, path: "/", type: "dir", nlink },
      ...Array.from({ length: count }, (_, i): JudgedEntry => ({
        ...plain,
        path: `/${i}`,
        type: "dir",
        nlink: 2,
      })),
    ];
    expect(compareTrees(full(64_998, 1), full(64_998, 1))).toEqual([]);
    expect(compareTrees(full(64_997, 64_999), full(64_997, 64_999))).toEqual([]);
    const wrong = full(64_997, 1).map(({ nlink, ...entry }): ExpectedEntry => ({
      ...entry,
      ...(nlink && {}),
    }));
    expect(compareTrees(wrong, full(64_997, 1))).toEqual(["nlink: /: expected 64999, found 1"]);
  });

  test("leaves the attributes of implied directories open, unless told", () => {
    const implied = tree.map((entry): ExpectedEntry =>
      entry.path === "/d" ? { ...entry, implied: true } : entry,
    );
    const other = change("/d", { mode: 0o700, uid: 9, mtime: [0, 0] });
    expect(compareTrees(implied, other)).toEqual([]);
    expect(compareTrees(implied, other, { isImpliedStrict: true })).toHaveLength(3);
  });

  test("lets an empty lost+found be, unless told", () => {
    const lost: JudgedEntry = { ...plain, path: "/lost+found", type: "dir", nlink: 2 };
    const found = [...change("/", { nlink: 4 }), lost];
    const expected = tree.map(({ nlink, ...entry }): ExpectedEntry => ({ ...entry, ...(nlink && {}) }));
    expect(compareTrees(expected, found)).toEqual([]);
    expect(compareTrees(expected, found, { isLostFoundStrict: true })).toEqual(["extra: /lost+found: dir"]);
  });
});

describeWith(["root", "umoci", "python3"], "umociTree", () => {
  test("gives the tree of an image, and refuses a tag that is not there", async () => {
    const layout = path.join(folder, "layout");
    await run("umoci", ["init", "--layout", layout]);
    await run("umoci", ["new", "--image", `${layout}:a`]);
    const layer = path.join(folder, "layer.tar");
    await writeFile(layer, tarBuilder().file("f", "text", { mtime: 9, uid: 7 }).end());
    await run("umoci", ["raw", "add-layer", "--image", `${layout}:a`, layer]);
    const entries = await umociTree(layout, "a");
    expect(entries.map(({ path: place, uid, mtime }) => [place, uid, mtime[0]])).toContainEqual(["/f", 7, 9]);
    await expect(umociTree(layout, "gone")).rejects.toThrow("umoci");
  });
});
