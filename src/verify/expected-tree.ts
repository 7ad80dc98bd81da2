/**
 * What a tree must be, from the layers: a second way of applying changesets (image-spec layer.md), which shares
 * nothing with tree/ and is written to be checked by reading. The model is one map from full path to node.
 * docs/verify.md has the rules in words.
 */
import { asByteString, showByteString, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import type { TarEntry, Timestamp } from "../tar/entry.ts";
import { showXattrValue, type FileNode, type FileTree } from "./file-tree.ts";
import type { LayerRecord } from "./layer-records.ts";

type Node = { -readonly [Field in keyof FileNode]: FileNode[Field] } & {
  /** Of directories: the names in them. */
  readonly names: Set<ByteString>;
};

const ROOT = asByteString("/");
const LINKS_FOLLOWED_MAX = 40;
// ext4 keeps 34 bits of seconds, counted from 2^31 before 1970 ("Inode Timestamps").
const TIME_MIN: Timestamp = { seconds: -(2 ** 31), nanoseconds: 0 };
const TIME_MAX: Timestamp = { seconds: 2 ** 34 - 2 ** 31 - 1, nanoseconds: 999_999_999 };
/** A directory with more links than this counts 1 (ext4, feature dir_nlink). */
const DIRECTORY_LINKS_MAX = 65_000;

/**
 * Applies the layers, base first. `mtimeOption` is what the manifest says of times: `preserve`, `zero`, `clamp:SECONDS`.
 * @throws TREE_INVALID, WHITEOUT_INVALID, TAR_PATH_UNSAFE
 */
export function expectedTree(
  layers: readonly (readonly LayerRecord[])[],
  mtimeOption = "preserve",
): FileTree {
  const model = new Model();
  for (const records of layers) {
    model.beginLayer();
    // Whiteouts hide what lower layers have, so all of them come before the layer's own entries.
    for (const { entry } of records) model.applyWhiteout(entry);
    for (const record of records) model.applyEntry(record);
  }
  return model.finish(mtimeOption);
}

class Model {
  readonly #nodes: Map<ByteString, Node> = new Map([[ROOT, impliedDirectory()]]);
  /** Files of this layer that AUFS kept where only hard links lead, by cleaned path. */
  readonly #linkedOnly = new Map<string, Node>();

  beginLayer(): void {
    this.#linkedOnly.clear();
  }

  applyWhiteout(entry: TarEntry): void {
    const names = namesOf(entry.path, entry);
    const last = names.pop();
    if (last?.startsWith(".wh.") !== true || names.some(isWhiteoutName)) return;
    const directory = this.#resolve(names, entry, "find");
    if (directory === undefined) return;
    if (last === ".wh..wh..opq") {
      for (const name of [...this.#namesIn(directory)]) this.#remove(directory, name);
      return;
    }
    const hidden = asByteString(last.slice(".wh.".length));
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw new LambdaImgError(
        "WHITEOUT_INVALID",
        `${showByteString(entry.path)}: whiteout of no usable name`,
      );
    }
    this.#remove(directory, hidden);
  }

  applyEntry({ entry, content }: LayerRecord): void {
    const names = namesOf(entry.path, entry);
    // A whiteout, or something below a name that looks like one.
    if (names.some(isWhiteoutName)) {
      if (names.at(-2) === ".wh..wh.plnk" && entry.type === "file")
        this.#linkedOnly.set(names.join("/"), nodeOf(entry, "file", content));
      return;
    }
    const name = names.pop();
    if (name === undefined) {
      if (entry.type !== "dir") throw invalid(entry, `the root directory cannot become a ${entry.type}`);
      setAttributes(this.#get(ROOT), entry);
      return;
    }
    const directory = this.#resolve(names, entry, "make");
    if (directory === undefined) throw invalid(entry, "a parent is not a directory");
    if (entry.type === "hardlink") {
      this.#link(directory, name, entry);
      return;
    }
    const old = this.#nodes.get(join(directory, name));
    if (old?.type === "dir" && entry.type === "dir") {
      setAttributes(old, entry);
      return;
    }
    this.#remove(directory, name);
    this.#add(directory, name, nodeOf(entry, entry.type, content));
  }

  /** Counts links and gives the map away. */
  finish(mtimeOption: string): FileTree {
    for (const [path, node] of this.#nodes) {
      node.mtime = timeUnder(mtimeOption, node.mtime);
      if (node.type !== "dir") {
        node.linkCount++;
        continue;
      }
      // Itself, its name, and the `..` of every directory in it.
      const below = [...node.names].filter((name) => this.#get(join(path, name)).type === "dir");
      node.linkCount = below.length + 2 > DIRECTORY_LINKS_MAX ? 1 : below.length + 2;
    }
    return this.#nodes;
  }

  /** A hard link is one more name; the file keeps the attributes that its own entry gave it. */
  #link(directory: ByteString, name: ByteString, entry: TarEntry): void {
    const targetNames = namesOf(entry.linkTarget, entry);
    const linkedOnly = this.#linkedOnly.get(targetNames.join("/"));
    if (linkedOnly !== undefined) {
      this.#remove(directory, name);
      this.#add(directory, name, linkedOnly);
      return;
    }
    const targetName = targetNames.pop();
    const targetDirectory = targetName === undefined ? undefined : this.#resolve(targetNames, entry, "find");
    if (targetName === undefined || targetDirectory === undefined) {
      throw invalid(entry, "hard link to what does not exist");
    }
    const targetPath = join(targetDirectory, targetName);
    const target = this.#nodes.get(targetPath);
    if (target === undefined) throw invalid(entry, "hard link to what does not exist");
    if (target.type === "dir") throw invalid(entry, "hard link to a directory");
    if (targetPath === join(directory, name)) throw invalid(entry, "hard link to itself");
    this.#remove(directory, name);
    this.#add(directory, name, target);
  }

  /**
   * The true path of a directory, symlinks followed as after a chroot into the root directory: `..` stops there
   * and absolute targets start there. Directories that are missing are made, or the answer is `undefined`.
   */
  #resolve(names: readonly ByteString[], entry: TarEntry, missing: "make" | "find"): ByteString | undefined {
    let here = ROOT;
    let linksFollowed = 0;
    const todo = [...names].reverse();
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        here = parentOf(here);
        continue;
      }
      const path = join(here, name);
      let node = this.#nodes.get(path);
      if (node === undefined) {
        if (missing === "find") return undefined;
        node = impliedDirectory();
        this.#add(here, name, node);
      }
      if (node.type === "symlink") {
        linksFollowed++;
        if (linksFollowed > LINKS_FOLLOWED_MAX) throw invalid(entry, "too many levels of symbolic links");
        if (node.linkTarget.startsWith("/")) here = ROOT;
        todo.push(...node.linkTarget.split("/").map(asByteString).reverse());
      } else if (node.type === "dir") {
        here = path;
      } else {
        return undefined;
      }
    }
    return here;
  }

  #get(path: ByteString): Node {
    const node = this.#nodes.get(path);
    if (node === undefined) throw new LambdaImgError("TREE_INVALID", `${showByteString(path)}: no such path`);
    return node;
  }

  #namesIn(directory: ByteString): Set<ByteString> {
    return this.#get(directory).names;
  }

  #add(directory: ByteString, name: ByteString, node: Node): void {
    this.#namesIn(directory).add(name);
    this.#nodes.set(join(directory, name), node);
  }

  /** Removes a name, if it is there, and all that lies below it. */
  #remove(directory: ByteString, name: ByteString): void {
    this.#namesIn(directory).delete(name);
    const doomed = [join(directory, name)];
    for (let path = doomed.pop(); path !== undefined; path = doomed.pop()) {
      for (const below of this.#nodes.get(path)?.names ?? []) doomed.push(join(path, below));
      this.#nodes.delete(path);
    }
  }
}

/** The names of a path; `..` takes back the name before it, and must not leave the root directory. */
function namesOf(path: ByteString, entry: TarEntry): ByteString[] {
  const names: ByteString[] = [];
  for (const name of path.split("/").map(asByteString)) {
    if (name === "" || name === ".") continue;
    if (name !== "..") {
      names.push(name);
    } else if (names.pop() === undefined) {
      throw new LambdaImgError(
        "TAR_PATH_UNSAFE",
        `${showByteString(entry.path)}: the path ${showByteString(path)} leaves the root directory`,
      );
    }
  }
  return names;
}

function isWhiteoutName(name: ByteString): boolean {
  return name.startsWith(".wh.");
}

function join(directory: ByteString, name: ByteString): ByteString {
  return asByteString(directory === ROOT ? `/${name}` : `${directory}/${name}`);
}

function parentOf(path: ByteString): ByteString {
  return asByteString(path.slice(0, Math.max(1, path.lastIndexOf("/"))));
}

/** A directory that no layer has an entry for: 0755, root:root, the epoch. */
function impliedDirectory(): Node {
  return {
    type: "dir",
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    sizeBytes: 0,
    content: "",
    linkTarget: asByteString(""),
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    linkCount: 0,
    names: new Set(),
  };
}

function nodeOf(entry: TarEntry, type: FileNode["type"], content: string): Node {
  const node: Node = { ...impliedDirectory(), type, content };
  setAttributes(node, entry);
  if (type === "file") node.sizeBytes = entry.sizeBytes;
  if (type === "symlink") {
    node.linkTarget = entry.linkTarget;
    node.mode = 0o777; // Linux gives every symbolic link these and lets nobody change them (symlink(7)).
  }
  if (type === "char" || type === "block") {
    node.deviceMajor = entry.deviceMajor;
    node.deviceMinor = entry.deviceMinor;
  }
  return node;
}

function setAttributes(node: Node, entry: TarEntry): void {
  node.mode = entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime = nearestTime(entry.mtime);
  const xattrs = new Map<ByteString, string>();
  for (const [name, value] of entry.xattrs ?? []) xattrs.set(name, showXattrValue(value));
  node.xattrs = xattrs;
}

/** No time lies after the second to clamp to; with `zero` every time is the epoch. */
function timeUnder(mtimeOption: string, time: Timestamp): Timestamp {
  if (mtimeOption === "zero") return { seconds: 0, nanoseconds: 0 };
  const [word, seconds] = mtimeOption.split(":");
  // At that second already: its nanoseconds would be later than it.
  return word === "clamp" && time.seconds >= Number(seconds)
    ? { seconds: Number(seconds), nanoseconds: 0 }
    : time;
}

/** The time, or the nearest one that ext4 can hold. */
function nearestTime(time: Timestamp): Timestamp {
  if (time.seconds < TIME_MIN.seconds) return TIME_MIN;
  if (time.seconds > TIME_MAX.seconds) return TIME_MAX;
  return time;
}

function invalid(entry: TarEntry, message: string): LambdaImgError {
  return new LambdaImgError("TREE_INVALID", `${showByteString(entry.path)}: ${message}`);
}
