/** Compares two trees, path by path and field by field. */
import { showByteString, type ByteString } from "../base/bytes.ts";
import type { Timestamp } from "../base/timestamp.ts";
import { DifferenceList } from "./difference.ts";
import type { FileNode, FileTree } from "./file-tree.ts";

const ABSENT = "absent";

/**
 * All that `found` has otherwise than `expected`. A path that only one has is one difference, field `path`, and
 * none more. Hard links are compared among the paths that both have: field `sameFileAs`.
 */
export function compareTrees(expected: FileTree, found: FileTree): DifferenceList {
  const differences = new DifferenceList();
  const groups = new LinkGroups();
  for (const [path, foundNode] of found) {
    const expectedNode = expected.get(path);
    if (expectedNode === undefined) {
      differences.add({ path, field: "path", expected: ABSENT, found: foundNode.type });
      continue;
    }
    compareNodes(differences, path, { expected: expectedNode, found: foundNode });
    differences.compareBytes(path, "sameFileAs", groups.firstPaths(path, expectedNode, foundNode));
  }
  for (const [path, { type }] of expected) {
    if (!found.has(path)) differences.add({ path, field: "path", expected: type, found: ABSENT });
  }
  return differences;
}

interface Sides {
  readonly expected: FileNode;
  readonly found: FileNode;
}

function compareNodes(differences: DifferenceList, path: ByteString, { expected, found }: Sides): void {
  const compare = (field: string, show: (node: FileNode) => string | number): void => {
    differences.compare(path, field, { expected: show(expected), found: show(found) });
  };
  compare("type", (node) => node.type);
  compare("mode", (node) => node.mode.toString(8).padStart(4, "0"));
  compare("uid", (node) => node.uid);
  compare("gid", (node) => node.gid);
  compare("mtime", (node) => showTime(node.mtime));
  compareXattrs(differences, path, { expected, found });
  // Of two types nothing else is comparable.
  if (expected.type !== found.type) return;
  compare("links", (node) => node.linkCount);
  compare("size", (node) => node.sizeBytes);
  compare("content", (node) => node.content);
  const targets = { expected: expected.linkTarget, found: found.linkTarget };
  differences.compareBytes(path, "target", targets);
  compare("device", (node) => `${node.deviceMajor}:${node.deviceMinor}`);
}

function compareXattrs(differences: DifferenceList, path: ByteString, { expected, found }: Sides): void {
  if (expected.xattrs.size === 0 && found.xattrs.size === 0) return;
  for (const name of new Set([...expected.xattrs.keys(), ...found.xattrs.keys()])) {
    differences.compare(path, `xattr ${showByteString(name)}`, {
      expected: expected.xattrs.get(name) ?? ABSENT,
      found: found.xattrs.get(name) ?? ABSENT,
    });
  }
}

/** Seconds with nine digits of fraction; negative times have the fraction counted upwards, as in the file system. */
function showTime({ seconds, nanoseconds }: Timestamp): string {
  return `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
}

/** The first path of each file on either side, in the order of asking. */
class LinkGroups {
  readonly #expected: Map<FileNode, ByteString> = new Map();
  readonly #found: Map<FileNode, ByteString> = new Map();

  firstPaths(path: ByteString, expected: FileNode, found: FileNode): Record<keyof Sides, ByteString> {
    return {
      expected: firstPath(this.#expected, expected, path),
      found: firstPath(this.#found, found, path),
    };
  }
}

function firstPath(paths: Map<FileNode, ByteString>, node: FileNode, path: ByteString): ByteString {
  const first = paths.get(node);
  if (first === undefined) paths.set(node, path);
  return first ?? path;
}
