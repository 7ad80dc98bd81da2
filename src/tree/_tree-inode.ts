/** How a tree keeps an inode: there can be millions, and what most have in common, or do not have, takes no memory in each. */
import { asByteString, type ByteString } from "../base/bytes.ts";
import { assert } from "../base/error.ts";
import type { Timestamp } from "../base/timestamp.ts";
import type { FileBody, LayerEntry } from "./layer-entry.ts";
import { NO_SLOT, type AssignedSlots } from "./slots.ts";
import type { Inode, LayerSlots } from "./tree.ts";

/** Whose an inode is, and its attributes: mostly one object for all neighbours in a layer. */
export type Ownership = Pick<LayerEntry, "uid" | "gid" | "xattrs">;

/** A layer as its inodes refer to it. Its slots are known only when all of its entries are. */
export class InodeLayer {
  readonly index: number;
  #slots: AssignedSlots | undefined;
  #impliedCount = 0;

  constructor(index: number) {
    this.index = index;
  }

  /** Stands for the next directory without an entry, as the ordinal of an entry does for others. */
  nextImplied(): number {
    return FIRST_IMPLIED - this.#impliedCount++;
  }

  /** Says which slots its entries have; returns how many the layer takes. */
  assign(slots: AssignedSlots): LayerSlots {
    this.#slots = slots;
    return { files: slots.files, directories: slots.directories + this.#impliedCount };
  }

  /** The slot of what stands for this ordinal; directories without an entry have those behind all others. */
  slotOf(ordinal: number): number {
    if (ordinal === ROOT) return NO_SLOT;
    assert(this.#slots !== undefined, "slots are asked for when all entries are known");
    if (ordinal <= FIRST_IMPLIED) return this.#slots.directories + (FIRST_IMPLIED - ordinal);
    return this.#slots.slots[ordinal] ?? NO_SLOT;
  }
}

/** In place of an entry's ordinal. */
export const ROOT = -1;
const FIRST_IMPLIED = -2;

/** Where the tree has the inode from. */
export interface InodeOrigin {
  readonly type: Inode["type"];
  readonly layer: InodeLayer;
  /** Of its entry in the layer, or what stands for it. */
  readonly ordinal: number;
}

/** What only inodes of one type have: files, symlinks, devices, directories; a fifo has nothing. */
type Content = FileBody | ByteString | Device | Map<ByteString, TreeInode> | undefined;

interface Device {
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Of a directory that no layer has an entry for: docs/fidelity.md, "Directories without an entry". */
const IMPLIED: Ownership = { uid: 0, gid: 0, xattrs: undefined };
const IMPLIED_MODE = 0o755;

const NO_TARGET = asByteString("");

/** An inode as flattening makes it: nine fields, where an object of all of Inode's and one for its time take seventeen. */
export class TreeInode implements Inode {
  readonly type: Inode["type"];
  nameCount = 1;
  readonly #content: Content;
  #layer: InodeLayer;
  #ordinal: number;
  #mode = IMPLIED_MODE;
  #ownership = IMPLIED;
  // Two numbers in place of an object of its own.
  #seconds = 0;
  #nanoseconds = 0;

  private constructor({ type, layer, ordinal }: InodeOrigin, content: Content) {
    this.type = type;
    this.#layer = layer;
    this.#ordinal = ordinal;
    this.#content = content;
  }

  /** An empty directory; implied until `setAttributes`. */
  static directory(layer: InodeLayer, ordinal: number): TreeInode {
    return new TreeInode({ type: "dir", layer, ordinal }, new Map());
  }

  /** What an entry that is no directory says. */
  static of(entry: LayerEntry, ownership: Ownership, origin: InodeOrigin): TreeInode {
    const inode = new TreeInode(origin, contentOf(entry));
    inode.setAttributes(entry, ownership);
    return inode;
  }

  /** `ownership` is that of the entry. */
  setAttributes({ mode, mtime }: LayerEntry, ownership: Ownership): void {
    // Linux gives every symbolic link these permissions and lets nobody change them (symlink(7)).
    this.#mode = this.type === "symlink" ? 0o777 : mode;
    this.#ownership = ownership;
    this.mtime = mtime;
  }

  /** Gives a directory the place that an entry of a layer further up has for it. */
  move(layer: InodeLayer, ordinal: number): void {
    this.#layer = layer;
    this.#ordinal = ordinal;
  }

  get layerIndex(): number {
    return this.#layer.index;
  }

  get slot(): number {
    return this.#layer.slotOf(this.#ordinal);
  }

  get mode(): number {
    return this.#mode;
  }

  get uid(): number {
    return this.#ownership.uid;
  }

  get gid(): number {
    return this.#ownership.gid;
  }

  get xattrs(): Inode["xattrs"] {
    return this.#ownership.xattrs;
  }

  get isImplied(): boolean {
    return this.#ownership === IMPLIED;
  }

  get mtime(): Timestamp {
    return { seconds: this.#seconds, nanoseconds: this.#nanoseconds };
  }

  set mtime({ seconds, nanoseconds }: Timestamp) {
    this.#seconds = seconds;
    this.#nanoseconds = nanoseconds;
  }

  get body(): FileBody | undefined {
    const content = this.#content;
    return typeof content === "object" && "runs" in content ? content : undefined;
  }

  get linkTarget(): ByteString {
    return typeof this.#content === "string" ? this.#content : NO_TARGET;
  }

  get deviceMajor(): number {
    return deviceOf(this.#content)?.deviceMajor ?? 0;
  }

  get deviceMinor(): number {
    return deviceOf(this.#content)?.deviceMinor ?? 0;
  }

  get children(): Map<ByteString, TreeInode> | undefined {
    return this.#content instanceof Map ? this.#content : undefined;
  }
}

// No private getter: V8 marks every object of a class that has one, with a field more.
function deviceOf(content: Content): Device | undefined {
  return typeof content === "object" && "deviceMajor" in content ? content : undefined;
}

function contentOf({ type, body, linkTarget, deviceMajor, deviceMinor }: LayerEntry): Content {
  if (type === "symlink") return linkTarget;
  if (type === "char" || type === "block") return { deviceMajor, deviceMinor };
  return body;
}
