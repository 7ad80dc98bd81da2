/**
 * A layer's entries in the bytes of its record (docs/format/record.md, "Entries"). A layer can have a million, which take some 40
 * bytes each this way and 250 as objects; so they are packed as they come, and unpacked one by one wherever they are gone through.
 */
import { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { LambdaImgError } from "../base/error.ts";
import type { FileBody, LayerEntry } from "../tree/layer-entry.ts";
import { OutlineBuilder, type LayerEntries, type LayerOutline } from "../tree/layer-outline.ts";
import { NO_ENTRY, readEntry, writeBody, writeHead, type EntryBefore } from "./_entry-codec.ts";

/** Entries that can be gone through any number of times; each time they are other objects. */
export class PackedEntries implements LayerEntries {
  readonly length: number;
  /** One entry after another. Nobody writes to them. */
  readonly bytes: Uint8Array;

  readonly outline: LayerOutline;

  /** `bytes` hold exactly so many entries, whose outline it is. */
  constructor(length: number, bytes: Uint8Array, outline: LayerOutline) {
    this.length = length;
    this.bytes = bytes;
    this.outline = outline;
  }

  /**
   * The entries in bytes that may be anything. All are read, once, so that nobody who goes through them later meets a failure.
   * @throws STORE_INVALID
   */
  static read(length: number, bytes: Uint8Array): PackedEntries {
    const outline = new OutlineBuilder();
    for (const entry of unpack(length, bytes)) outline.add(entry);
    return new PackedEntries(length, bytes, outline.finish());
  }

  [Symbol.iterator](): Generator<LayerEntry> {
    return unpack(this.length, this.bytes);
  }
}

function* unpack(length: number, bytes: Uint8Array): Generator<LayerEntry> {
  const reader = new BinaryReader(bytes);
  let before: EntryBefore = NO_ENTRY;
  for (let left = length; left > 0; left--) {
    const entry = readEntry(reader, before);
    yield entry;
    before = entry;
  }
  if (!reader.isAtEnd) throw new LambdaImgError("STORE_INVALID", "segment record: bytes follow the entries");
}

/** Packs entries in their order. */
export class EntryPacker {
  readonly #writer = new BinaryWriter();
  readonly #outline = new OutlineBuilder();
  #length = 0;
  #pathBefore = NO_ENTRY.path;
  /** Bodies that go in at last, and where. */
  readonly #later: { readonly at: number; readonly body: FileBody }[] = [];

  /** Keeps nothing of the entry but its path, until the next. */
  add(entry: LayerEntry): void {
    this.#addHead(entry);
    if (entry.body !== undefined) writeBody(this.#writer, entry.body);
  }

  /** Takes an entry in whose body may get its places later; it is kept until `finish`. */
  addUnplaced(entry: LayerEntry): void {
    this.#addHead(entry);
    if (entry.body !== undefined) this.#later.push({ at: this.#writer.length, body: entry.body });
  }

  /** All of them. Call it once, when all bodies have their places. */
  finish(): PackedEntries {
    const packed = this.#writer.finish();
    const outline = this.#outline.finish();
    if (this.#later.length === 0) return new PackedEntries(this.#length, packed, outline);
    const whole = new BinaryWriter();
    let done = 0;
    for (const { at, body } of this.#later) {
      whole.raw(packed.subarray(done, at));
      writeBody(whole, body);
      done = at;
    }
    whole.raw(packed.subarray(done));
    return new PackedEntries(this.#length, whole.finish(), outline);
  }

  #addHead(entry: LayerEntry): void {
    writeHead(this.#writer, entry, this.#pathBefore);
    this.#outline.add(entry);
    this.#pathBefore = entry.path;
    this.#length++;
  }
}
