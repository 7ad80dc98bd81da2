/** The second path against GNU tar's view: layers that tar itself extracts, one over the other. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { expect } from "vitest";

import { ContentDigestBuilder } from "../../src/verify/content-digest.ts";
import { expectedTree } from "../../src/verify/expected-tree.ts";
import { showXattrValue, type FileTree } from "../../src/verify/file-tree.ts";
import { run, testWith, walkTree } from "../support/judge.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import { tarBuilder, type TarBuilder } from "../support/tar-builder.ts";
import { recordsOf } from "./_support.ts";

/** A tree as lines, one a path, with all that both sides know; the first path of an inode names its group. */
type Lines = readonly string[];

function linesOf(tree: FileTree): Lines {
  const firstPaths = new Map<object, string>();
  const paths = [...tree.keys()].sort(byText);
  return paths.map((name) => {
    const node = tree.get(name)!;
    const isShared = node.type !== "dir" && node.linkCount > 1;
    if (isShared && !firstPaths.has(node)) firstPaths.set(node, name);
    const { type, mode, uid, gid, mtime } = node;
    return JSON.stringify({
      ...{ name, type, mode, uid, gid, mtime: [mtime.seconds, mtime.nanoseconds] },
      ...{ size: node.sizeBytes, content: node.content, target: node.linkTarget },
      device: [node.deviceMajor, node.deviceMinor],
      xattrs: [...node.xattrs].sort(([left], [right]) => byText(left, right)),
      group: firstPaths.get(node),
    });
  });
}

async function extractedLines(directory: string): Promise<Lines> {
  const entries = [...(await walkTree(directory))].sort((left, right) => byText(left.path, right.path));
  const firstPaths = new Map<number, string>();
  return entries.map((entry) => {
    const { path: name, type, mode, uid, gid, mtime, link } = entry;
    if (link !== undefined && !firstPaths.has(link)) firstPaths.set(link, name);
    const isFile = type === "file";
    const bytes = isFile ? readFileSync(Buffer.from(`${directory}${name}`, "latin1")) : new Uint8Array(0);
    const digest = new ContentDigestBuilder();
    digest.add(0, bytes);
    const xattrs = Object.entries(entry.xattrs).filter(([key]) => key !== "security.selinux");
    return JSON.stringify({
      ...{ name, type, mode, uid, gid, mtime },
      ...{
        size: bytes.length,
        content: isFile ? digest.finish(bytes.length) : "",
        target: entry.target ?? "",
      },
      device: entry.rdev ?? [0, 0],
      xattrs: xattrs
        .map(([key, value]) => [key, showXattrValue(Buffer.from(value, "base64"))] as const)
        .sort(([left], [right]) => byText(left, right)),
      group: link === undefined ? undefined : firstPaths.get(link),
    });
  });
}

const byText = (left: string, right: string): number => (left < right ? -1 : left > right ? 1 : 0);

/** Whiteouts as the test applies them (by hand, for GNU tar knows none), then tar. */
async function extract(
  layers: readonly { tar: TarBuilder; hides: readonly string[] }[],
  into: string,
): Promise<void> {
  const file = path.join(into, "../layer.tar");
  for (const { tar, hides } of layers) {
    for (const name of hides) rmSync(path.join(into, name), { recursive: true });
    writeFileSync(file, tar.end());
    await run("tar", [
      ...[
        "-xpf",
        file,
        "-C",
        into,
        "--numeric-owner",
        "--keep-directory-symlink",
        "--delay-directory-restore",
      ],
      ...["--xattrs", "--xattrs-include=*", "--exclude=.wh.*"],
    ]);
  }
}

testWith(["tar", "root", "python3"], "the second path gives the tree that GNU tar extracts", async () => {
  const time = { mtime: 1_600_000_000 };
  const base = tarBuilder()
    .dir("./", { mode: 0o755, ...time })
    .dir("usr/", { mode: 0o750, uid: 3, gid: 4, ...time })
    .dir("usr/lib/", { mode: 0o755, ...time })
    .symlink("lib", "usr/lib", time)
    .pax([["mtime", "1500000000.123456789"]])
    .file("usr/lib/a", "the first\n", { mode: 0o4755, uid: 1000, gid: 2000 })
    .hardlink("usr/lib/b", "usr/lib/a")
    .pax([["SCHILY.xattr.user.note", "\x00\xffbinary"]])
    .file("noted", "with an attribute", { mode: 0o600, ...time })
    .file("name-\xff\n", "odd", { mode: 0o644, ...time })
    .dir("gone/", { mode: 0o755, ...time })
    .file("gone/inside", "hidden", { mode: 0o644, ...time })
    .file("replaced", "old", { mode: 0o644, ...time })
    .device("null", "char", { devmajor: 1, devminor: 3, mode: 0o666, ...time })
    .sparse("gnu", {
      ...{ path: "sparse", realSize: 1_000_000, mode: 0o644, ...time },
      parts: [
        { offset: 4096, bytes: "x".repeat(512) },
        { offset: 1_000_000, bytes: "" },
      ],
    });
  const upper = tarBuilder()
    .file(".wh.gone")
    .file("lib/through-the-link", "lands in usr/lib", { mode: 0o644, ...time })
    .file("replaced", "new and longer", { mode: 0o640, uid: 4_000_000_000, ...time })
    .hardlink("linked", "noted")
    .symlink("gone", "replaced", time)
    // Last, so that what is written below them does not change their times after tar has set them.
    .dir("usr/lib/", { mode: 0o711, ...time })
    .dir("usr/", { mode: 0o750, uid: 3, gid: 4, ...time })
    .dir("./", { mode: 0o755, ...time });
  const folder = temporaryDirectory();
  try {
    const into = path.join(folder.path, "tree");
    mkdirSync(into);
    await extract(
      [
        { tar: base, hides: [] },
        { tar: upper, hides: ["gone"] },
      ],
      into,
    );
    expect(linesOf(expectedTree([recordsOf(base), recordsOf(upper)]))).toEqual(await extractedLines(into));
  } finally {
    folder.remove();
  }
});
