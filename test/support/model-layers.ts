/**
 * A second implementation of "apply layers in order" (image-spec layer.md), for comparing: a flat map from path to
 * node, no inodes, every step as naive as can be. It shares no code and no structure with src/tree.
 */
import { createHash } from "node:crypto";

import type { ExpectedEntry } from "./judged-tree.ts";
import { tarBuilder } from "./tar-builder.ts";

/** An entry of a layer. Strings are bytes, one character a byte. */
export interface ModelEntry {
  readonly path: string;
  readonly type: "file" | "dir" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly body?: string;
  /** Of a symlink or hard link. */
  readonly target?: string;
  readonly rdev?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** A refusal, with the code that src/ has for it. */
export class ModelRefusal extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Node {
  type: ExpectedEntry["type"];
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  xattrs: Readonly<Record<string, string>>;
  body: string;
  target: string;
  rdev: readonly [number, number];
  isImplied: boolean;
}

/** By path; the root directory is the empty one. Hard links are one object under two paths. */
type Paths = Map<string, Node>;

/** The tree that the layers give, base first; throws ModelRefusal. */
export function modelTree(layers: readonly (readonly ModelEntry[])[]): ExpectedEntry[] {
  const paths: Paths = new Map([["", impliedDirectory()]]);
  for (const layer of layers) applyLayer(paths, layer);
  const counts = new Map<Node, number>();
  for (const node of paths.values()) counts.set(node, (counts.get(node) ?? 0) + 1);
  const groups = new Map<Node, number>();
  return [...paths].map(([path, node]) => {
    if ((counts.get(node) ?? 0) > 1 && !groups.has(node)) groups.set(node, groups.size);
    const link = groups.get(node);
    return {
      path: path === "" ? "/" : path,
      type: node.type,
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      mtime: [node.mtime, 0],
      xattrs: Object.fromEntries(
        Object.entries(node.xattrs).map(([name, value]) => [
          name,
          Buffer.from(value, "latin1").toString("base64"),
        ]),
      ),
      ...(node.type === "file" && {
        size: node.body.length,
        sha256: createHash("sha256").update(node.body, "latin1").digest("hex"),
      }),
      ...(node.type === "symlink" && { target: node.target }),
      ...((node.type === "char" || node.type === "block") && { rdev: node.rdev }),
      ...(link !== undefined && { link }),
      ...(node.isImplied && { implied: true }),
    };
  });
}

/** The entries as a tar. */
export function tarOfEntries(entries: readonly ModelEntry[]): Uint8Array {
  const tar = tarBuilder();
  for (const entry of entries) {
    const { path, type, body = "", target = "", rdev = [0, 0] } = entry;
    const records: [string, string][] = Object.entries(entry.xattrs ?? {}).map(([name, value]) => [
      `SCHILY.xattr.${name}`,
      value,
    ]);
    if (path.length > 100) records.push(["path", path]);
    if (target.length > 100) records.push(["linkpath", target]);
    if (records.length > 0) tar.pax(records);
    const typeflag = { file: "0", hardlink: "1", symlink: "2", char: "3", block: "4", dir: "5", fifo: "6" };
    const { mode, uid, gid, mtime } = fieldsOf(entry);
    tar.entry({
      ...{ name: path.slice(0, 100), linkname: target.slice(0, 100), typeflag: typeflag[type] },
      ...{ mode, uid, gid, mtime, devmajor: rdev[0], devminor: rdev[1] },
      body: type === "file" ? body : "",
    });
  }
  return tar.end();
}

function applyLayer(paths: Paths, layer: readonly ModelEntry[]): void {
  // "Whiteout files MUST only apply to resources in lower/parent layers": so they go first.
  for (const { path } of layer) {
    const names = namesOf(path);
    const name = names.pop() ?? "";
    if (!name.startsWith(".wh.") || names.some((other) => other.startsWith(".wh."))) continue;
    const directory = resolve(paths, names, false);
    if (directory === undefined) continue;
    if (name === ".wh..wh..opq") {
      for (const below of [...paths.keys()]) if (below.startsWith(`${directory}/`)) paths.delete(below);
      continue;
    }
    if ([".wh.", ".wh..", ".wh..."].includes(name)) throw new ModelRefusal("WHITEOUT_INVALID", path);
    remove(paths, `${directory}/${name.slice(4)}`);
  }
  const aside: Paths = new Map();
  for (const entry of layer) {
    const names = namesOf(entry.path);
    if (!names.some((name) => name.startsWith(".wh."))) put(paths, entry, aside);
    else if (names.at(-2) === ".wh..wh.plnk" && entry.type === "file")
      aside.set(names.join("/"), nodeOf(entry));
  }
}

function put(paths: Paths, entry: ModelEntry, aside: Paths): void {
  const names = namesOf(entry.path);
  const name = names.pop();
  if (name === undefined) {
    if (entry.type !== "dir") throw new ModelRefusal("TREE_INVALID", "the root directory is a directory");
    Object.assign(node(paths, ""), nodeOf(entry));
    return;
  }
  const place = `${resolve(paths, names, true) ?? ""}/${name}`;
  const old = paths.get(place);
  if (entry.type === "hardlink") {
    const targetNames = namesOf(entry.target ?? "");
    const kept = aside.get(targetNames.join("/"));
    const last = targetNames.pop();
    const directory = last === undefined ? undefined : resolve(paths, targetNames, false);
    const from = directory === undefined ? "" : `${directory}/${last ?? ""}`;
    const target = kept ?? (from === "" ? undefined : paths.get(from));
    if (target === undefined || target.type === "dir" || from === place) {
      throw new ModelRefusal("TREE_INVALID", `hard link to ${entry.target ?? ""}`);
    }
    remove(paths, place);
    paths.set(place, target);
  } else if (entry.type === "dir" && old?.type === "dir") {
    Object.assign(old, nodeOf(entry));
  } else {
    remove(paths, place);
    paths.set(place, nodeOf(entry));
  }
}

/** The path of the directory, links followed as after a chroot. Missing ones are made, or give undefined. */
function resolve(paths: Paths, names: readonly string[], isMaking: boolean): string | undefined {
  let place = "";
  let follows = 0;
  const todo = [...names];
  while (todo.length > 0) {
    const name = todo.shift() ?? "";
    if (name === "" || name === ".") continue;
    if (name === "..") {
      place = place.slice(0, Math.max(0, place.lastIndexOf("/")));
      continue;
    }
    const next = `${place}/${name}`;
    const found = paths.get(next);
    if (found?.type === "symlink") {
      if (++follows > 40) throw new ModelRefusal("TREE_INVALID", "too many links");
      if (found.target.startsWith("/")) place = "";
      todo.unshift(...found.target.split("/"));
      continue;
    }
    if (found === undefined && isMaking) {
      if (name.length > 255) throw new ModelRefusal("PATH_TOO_LONG", name);
      paths.set(next, impliedDirectory());
    } else if (found?.type !== "dir") {
      if (isMaking) throw new ModelRefusal("TREE_INVALID", "a parent is no directory");
      return undefined;
    }
    place = next;
  }
  return place;
}

function remove(paths: Paths, place: string): void {
  for (const path of [...paths.keys()]) {
    if (path === place || path.startsWith(`${place}/`)) paths.delete(path);
  }
}

function node(paths: Paths, path: string): Node {
  const found = paths.get(path);
  if (found === undefined) throw new Error(`no ${path}`);
  return found;
}

/** The names in a path, cleaned without looking at the tree. */
function namesOf(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    if (name.length > 255) throw new ModelRefusal("PATH_TOO_LONG", name);
    if (name !== "..") names.push(name);
    else if (names.length === 0) throw new ModelRefusal("TAR_PATH_UNSAFE", path);
    else names.length--;
  }
  return names;
}

function nodeOf(entry: ModelEntry): Node {
  const { mode, ...fields } = fieldsOf(entry);
  return {
    type: entry.type === "hardlink" ? "file" : entry.type,
    mode: entry.type === "symlink" ? 0o777 : mode,
    ...fields,
    xattrs: entry.xattrs ?? {},
    body: entry.body ?? "",
    target: entry.target ?? "",
    rdev: entry.rdev ?? [0, 0],
    isImplied: false,
  };
}

function fieldsOf(entry: ModelEntry): { mode: number; uid: number; gid: number; mtime: number } {
  const { mode = entry.type === "dir" ? 0o755 : 0o644, uid = 0, gid = 0, mtime = 0 } = entry;
  return { mode, uid, gid, mtime };
}

function impliedDirectory(): Node {
  return { ...nodeOf({ path: "", type: "dir" }), isImplied: true };
}
