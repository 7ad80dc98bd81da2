/**
 * Applies layers, base first, to one tree in memory (image-spec layer.md, "Applying Changesets"). Nothing is
 * written anywhere, so nothing can leave the tree; docs/fidelity.md says how each open question is decided.
 */
import { asByteString, showByteString, type ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import {
  NAME_BYTES_MAX,
  SYMLINK_FOLLOW_MAX,
  SYMLINK_TARGET_BYTES_MAX,
  TREE_INODE_COUNT_MAX,
} from "../base/limit.ts";
import type { FileBody, LayerEntry } from "./layer-entry.ts";
import { WHITEOUT_PREFIX, type LayerEntries } from "./layer-outline.ts";
import { nameTooLong, ownByteString, splitPath } from "./path.ts";
import { InodeLayer, ROOT, TreeInode, type Ownership } from "./_tree-inode.ts";
import type { LayerSlots, Tree } from "./tree.ts";

// layer.md, "Opaque Whiteout": hides every lower child of the directory it is in.
const OPAQUE_NAME = ".wh..wh..opq";
// AUFS kept files with several names here; the layer's other entries are hard links to them.
const AUFS_LINKS_NAME = ".wh..wh.plnk";

/** A file that AUFS kept aside, and its inode once a hard link has given it a name in the tree. */
interface AsideFile {
  readonly entry: LayerEntry;
  readonly ordinal: number;
  inode: TreeInode | undefined;
}

/** Where an entry was put: of its path what comes before its name, the slash included, and the directory that this leads to. */
interface LastPlace {
  readonly prefix: string;
  readonly parent: Map<ByteString, TreeInode>;
}

/** Layers in, tree out. Memory is proportional to the number of inodes; no bytes of files are held. */
export class Flattener {
  #layer = new InodeLayer(0);
  #root: TreeInode = TreeInode.directory(this.#layer, ROOT);
  readonly #slots: LayerSlots[] = [];
  readonly #hidden = new Set<number>();
  /** Of the layer at hand, by path. */
  readonly #aside = new Map<string, AsideFile>();
  /** Entries of the lowest layer that are in the tree already; `undefined` when no more go there. */
  #aheadCount: number | undefined = 0;
  #inodeCount = 1;
  /** Bodies of the lowest layer that the tree does not show, and that had no places when they went. */
  readonly #gone: FileBody[] = [];
  /** That of the last entry: the next one's mostly is the same. */
  #ownership: Ownership = { uid: 0, gid: 0, xattrs: undefined };
  /** Of the last entry, as long as no name was taken away: the next one mostly lies there, too. */
  #lastPlace: LastPlace | undefined;

  /**
   * Takes an entry of the lowest layer before the layer is whole: an attempt, which spares `applyLayer` the entries if each of them comes
   * here first, in order. Where one of them is not as simple as that, `applyLayer` does it all. The entry's body may get its places later.
   */
  putAhead(entry: LayerEntry): void {
    if (this.#aheadCount === undefined) return;
    try {
      const isPlain = !entry.path.includes(WHITEOUT_PREFIX);
      if (isPlain) this.#put(entry, this.#aheadCount++);
      else this.#startAnew();
    } catch {
      // Whether the layer is what it should be is not known yet: if so, applyLayer fails the same way.
      this.#startAnew();
    }
  }

  /**
   * Puts the next layer on top. Whiteouts and opaque markers come first, whatever their place in the layer: they
   * "hide resources of lower layers" only; then every other entry, in the order of the archive, as tar extracts it.
   * @throws TREE_INVALID, WHITEOUT_INVALID, TAR_PATH_UNSAFE, PATH_TOO_LONG, TREE_TOO_LARGE
   */
  applyLayer(entries: LayerEntries): void {
    if (this.#aheadCount !== undefined && this.#aheadCount !== entries.length) this.#startAnew();
    if (this.#aheadCount === undefined) this.#applyEntries(entries);
    this.#aheadCount = undefined;
    for (const aside of this.#aside.values()) this.#dropAside(aside);
    this.#aside.clear();
    for (const body of this.#gone) this.#hide(this.#layer.index, body);
    this.#gone.length = 0;
    this.#slots.push(this.#layer.assign(entries.outline));
    this.#layer = new InodeLayer(this.#layer.index + 1);
  }

  #applyEntries(entries: LayerEntries): void {
    const { hasWhiteouts } = entries.outline;
    if (hasWhiteouts) {
      for (const entry of entries)
        if (entry.path.includes(WHITEOUT_PREFIX)) this.#applyWhiteout(splitPath(entry.path), entry);
    }
    let ordinal = 0;
    for (const entry of entries) {
      const names = hasWhiteouts && entry.path.includes(WHITEOUT_PREFIX) ? splitPath(entry.path) : [];
      // What lies below a name with the prefix is no content either: AUFS kept its links in `.wh..wh.plnk/`.
      if (names.some((name) => name.startsWith(WHITEOUT_PREFIX))) this.#passOver(names, entry, ordinal);
      else this.#put(entry, ordinal);
      ordinal++;
    }
  }

  /** Gives up what `putAhead` has made. */
  #startAnew(): void {
    this.#aheadCount = undefined;
    this.#layer = new InodeLayer(0);
    this.#root = TreeInode.directory(this.#layer, ROOT);
    this.#lastPlace = undefined;
    this.#inodeCount = 1;
    this.#gone.length = 0;
    this.#hidden.clear();
  }

  /** The tree of all layers so far. */
  finish(): Tree {
    return { rootDirectory: this.#root, slots: this.#slots };
  }

  /** Indexes of the layers so far that have bytes of a file which the tree does not show. */
  get layersWithHidden(): ReadonlySet<number> {
    return this.#hidden;
  }

  #applyWhiteout(names: ByteString[], entry: LayerEntry): void {
    const last = names.pop();
    if (last?.startsWith(WHITEOUT_PREFIX) !== true) return;
    if (names.some((name) => name.startsWith(WHITEOUT_PREFIX))) return;
    const children = this.#findDirectory(names, entry)?.children;
    if (children === undefined) return; // Nothing below, so nothing to hide.
    if (last === OPAQUE_NAME) {
      for (const [name, inode] of children) this.#removeName(children, name, inode);
      return;
    }
    const hidden = asByteString(last.slice(WHITEOUT_PREFIX.length));
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw new LambdaImgError(
        "WHITEOUT_INVALID",
        `${showByteString(entry.path)}: whiteout: expected a name after ".wh.", found ${JSON.stringify(hidden)}`,
      );
    }
    const inode = children.get(hidden);
    if (inode !== undefined) this.#removeName(children, hidden, inode);
  }

  /** An entry that is not in the tree by its own path. */
  #passOver(names: readonly ByteString[], entry: LayerEntry, ordinal: number): void {
    if (entry.type !== "file" || names.at(-2) !== AUFS_LINKS_NAME) {
      this.#hide(this.#layer.index, entry.body);
      return;
    }
    const path = names.join("/");
    const before = this.#aside.get(path);
    if (before !== undefined) this.#dropAside(before);
    this.#aside.set(path, { entry, ordinal, inode: undefined });
  }

  /** Takes the name away that the file had where AUFS kept it: it counted as one. */
  #dropAside({ entry, inode }: AsideFile): void {
    if (inode !== undefined) inode.nameCount--;
    if (inode === undefined || inode.nameCount === 0) this.#hide(this.#layer.index, entry.body);
  }

  #put(entry: LayerEntry, ordinal: number): void {
    const place = this.#placeOf(entry);
    if (place === undefined) {
      if (entry.type !== "dir")
        throw invalid(entry, `expected a directory for the root, found a ${entry.type}`);
      this.#root.setAttributes(entry, this.#ownershipOf(entry));
      return;
    }
    const { parent, name } = place;
    const old = parent.get(name);
    if (entry.type === "hardlink") {
      this.#link(parent, name, entry);
    } else if (entry.type === "dir" && old?.type === "dir") {
      // layer.md, "Additions and Modifications": an existing directory's attributes are replaced, its names stay.
      old.setAttributes(entry, this.#ownershipOf(entry));
      // What a layer changes lies with that layer, and the lower one's chunks stay as they are.
      old.move(this.#layer, ordinal);
    } else {
      if (old !== undefined) this.#removeName(parent, name, old);
      parent.set(ownByteString(name), this.#newInode(entry, ordinal));
    }
  }

  /** The directory that the entry goes into, and its name there; `undefined` for the root. */
  #placeOf(entry: LayerEntry): { parent: Map<ByteString, TreeInode>; name: ByteString } | undefined {
    const { path } = entry;
    const last = this.#lastPlace;
    if (last !== undefined && path.startsWith(last.prefix)) {
      const name = path.slice(last.prefix.length);
      if (isPlainName(name)) return { parent: last.parent, name: asByteString(name) };
    }
    const names = splitPath(path);
    const name = names.pop();
    if (name === undefined) return undefined;
    const parent = this.#makeDirectory(names, entry);
    if (path.endsWith(`/${name}`))
      this.#lastPlace = { prefix: path.slice(0, path.length - name.length), parent };
    return { parent, name };
  }

  #link(parent: Map<ByteString, TreeInode>, name: ByteString, entry: LayerEntry): void {
    const targetNames = splitPath(entry.linkTarget);
    const aside = this.#asideInode(targetNames);
    const targetName = targetNames.pop();
    const directory = targetName === undefined ? undefined : this.#findDirectory(targetNames, entry);
    const target = aside ?? (targetName === undefined ? undefined : directory?.children?.get(targetName));
    const shown = showByteString(entry.linkTarget);
    if (target === undefined) throw invalid(entry, `hard link to a path that does not exist: ${shown}`);
    if (target.type === "dir") throw invalid(entry, `hard link to a directory: ${shown}`);
    if (directory?.children === parent && targetName === name)
      throw invalid(entry, `hard link to itself: ${shown}`);
    const old = parent.get(name);
    if (old === target) return;
    // The inode's attributes stay as its own entry gave them: a link is a name, as for tar. What goes may be where the target is.
    target.nameCount++;
    if (old !== undefined) this.#removeName(parent, name, old);
    parent.set(ownByteString(name), target);
  }

  /** The inode of a file that AUFS kept aside under these names; its name there counts until the layer ends. */
  #asideInode(names: readonly ByteString[]): TreeInode | undefined {
    const aside = names.at(-2) === AUFS_LINKS_NAME ? this.#aside.get(names.join("/")) : undefined;
    if (aside !== undefined) aside.inode ??= this.#newInode(aside.entry, aside.ordinal);
    return aside?.inode;
  }

  #newInode(entry: LayerEntry, ordinal: number): TreeInode {
    this.#count(entry);
    if (entry.type === "dir") {
      const directory = TreeInode.directory(this.#layer, ordinal);
      directory.setAttributes(entry, this.#ownershipOf(entry));
      return directory;
    }
    if (entry.type === "symlink") checkSymlink(entry);
    if (entry.type === "char" || entry.type === "block") checkDevice(entry);
    const type = entry.type === "hardlink" ? "file" : entry.type;
    return TreeInode.of(entry, this.#ownershipOf(entry), { type, layer: this.#layer, ordinal });
  }

  #ownershipOf({ uid, gid, xattrs }: LayerEntry): Ownership {
    const last = this.#ownership;
    if (uid !== last.uid || gid !== last.gid || xattrs !== last.xattrs)
      this.#ownership = { uid, gid, xattrs };
    return this.#ownership;
  }

  #count(entry: LayerEntry): void {
    this.#inodeCount++;
    if (this.#inodeCount > TREE_INODE_COUNT_MAX) {
      throw new LambdaImgError(
        "TREE_TOO_LARGE",
        `${showByteString(entry.path)}: too many files: expected at most ${TREE_INODE_COUNT_MAX} in an image`,
      );
    }
  }

  /** The directory of these names, symbolic links followed inside the root, or `undefined`. */
  #findDirectory(names: readonly ByteString[], entry: LayerEntry): TreeInode | undefined {
    return this.#resolve(names, entry, false);
  }

  /** The names in the directory of these names; directories that are missing come into being. */
  #makeDirectory(names: readonly ByteString[], entry: LayerEntry): Map<ByteString, TreeInode> {
    const children = this.#resolve(names, entry, true)?.children;
    if (children === undefined) throw invalid(entry, "a parent of the entry is not a directory");
    return children;
  }

  /**
   * Walks down as the kernel does after a chroot: a symbolic link is followed within the root directory, an
   * absolute one from the root directory, and `..` in a link's target stops there.
   */
  #resolve(names: readonly ByteString[], entry: LayerEntry, isMaking: boolean): TreeInode | undefined {
    const parents: TreeInode[] = [];
    let here = this.#root;
    let followed = 0;
    const todo = [...names].reverse();
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (name === "" || name === ".") continue;
      if (name === "..") {
        here = parents.pop() ?? this.#root;
        continue;
      }
      const children = here.children;
      if (children === undefined) return undefined;
      let child = children.get(name);
      if (child === undefined) {
        if (!isMaking) return undefined;
        if (name.length > NAME_BYTES_MAX) throw nameTooLong(entry.path, name.length);
        this.#count(entry);
        child = TreeInode.directory(this.#layer, this.#layer.nextImplied());
        children.set(ownByteString(name), child);
      }
      if (child.type === "symlink") {
        if (++followed > SYMLINK_FOLLOW_MAX) throw invalid(entry, "too many levels of symbolic links");
        if (child.linkTarget.startsWith("/")) {
          parents.length = 0;
          here = this.#root;
        }
        for (const part of child.linkTarget.split("/").reverse()) todo.push(asByteString(part));
        continue;
      }
      if (child.type !== "dir") return undefined;
      parents.push(here);
      here = child;
    }
    return here;
  }

  /** Takes a name away; of what lies below a directory, every inode loses the names it had there. */
  #removeName(children: Map<ByteString, TreeInode>, name: ByteString, inode: TreeInode): void {
    this.#lastPlace = undefined; // It may have led there.
    children.delete(name);
    const gone = [inode];
    for (let next = gone.pop(); next !== undefined; next = gone.pop()) {
      next.nameCount--;
      if (next.nameCount === 0) this.#hide(next.layerIndex, next.body);
      for (const child of next.children?.values() ?? []) gone.push(child);
    }
  }

  #hide(layerIndex: number, body: FileBody | undefined): void {
    if (body === undefined) return;
    if (body.runs.length > 0) this.#hidden.add(layerIndex);
    else if (this.#aheadCount !== undefined) this.#gone.push(body);
  }
}

/** Whether the end of a path is a name that stands for itself, and may be one. */
function isPlainName(name: string): boolean {
  const isPart = name === "" || name === "." || name === ".." || name.includes("/");
  return !isPart && name.length <= NAME_BYTES_MAX;
}

function checkSymlink(entry: LayerEntry): void {
  const length = entry.linkTarget.length;
  if (length === 0) throw invalid(entry, "symlink with an empty target");
  if (length > SYMLINK_TARGET_BYTES_MAX) {
    throw new LambdaImgError(
      "PATH_TOO_LONG",
      `${showByteString(entry.path)}: symlink target too long: expected at most ${SYMLINK_TARGET_BYTES_MAX} bytes, found ${length}`,
      { details: { limitBytes: SYMLINK_TARGET_BYTES_MAX, foundBytes: length } },
    );
  }
}

/** Linux's dev_t has 12 bits of major and 20 bits of minor number. */
function checkDevice(entry: LayerEntry): void {
  const { deviceMajor, deviceMinor } = entry;
  if (deviceMajor < 2 ** 12 && deviceMinor < 2 ** 20) return;
  throw invalid(entry, `device number: expected at most 4095:1048575, found ${deviceMajor}:${deviceMinor}`);
}

function invalid(entry: LayerEntry, message: string): LambdaImgError {
  return new LambdaImgError("TREE_INVALID", `${showByteString(entry.path)}: ${message}`);
}
