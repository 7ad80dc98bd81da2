/**
 * A layer's entries in the bytes of its record (docs/format/record.md, "Entries"). A layer can have a million, which take some 40
 * bytes each this way and 250 as objects; so they are packed as they come, and unpacked one by one wherever they are gone through.
 */
import { BinaryReader, BinaryWriter } from "../base/binary.ts";
import { LambdaImgError } from "../base/error.ts";
import type { FileBody, LayerEntries, LayerEntry } from "../tree/layer-entry.ts";
import { NO_ENTRY, readEntry, writeBody, writeHead, type EntryBefore } from "./_entry-codec.ts";

/** Entries that can be gone through any number of times; each time they are other objects. */
export class PackedEntries implements LayerEntries {
  readonly length: number;
  /** One entry after another. Nobody writes to them. */
  readonly bytes: Uint8Array;

  /** `bytes` hold exactly so many entries: made by an EntryPacker, or gone through by `check`. */
  constructor(length: number, bytes: Uint8Array) {
    this.length = length;
    this.bytes = bytes;
  }

  *[Symbol.iterator](): Generator<LayerEntry> {
    const reader = new BinaryReader(this.bytes);
    let before: EntryBefore = NO_ENTRY;
    for (let left = this.length; left > 0; left--) {
      const entry = readEntry(reader, before);
      yield entry;
      before = entry;
    }
    if (!reader.isAtEnd)
      throw new LambdaImgError("STORE_INVALID", "segment record: bytes follow the entries");
  }

  /**
   * Reads all of them, once, so that nobody who goes through them later meets a failure.
   * @throws STORE_INVALID
   */
  check(): void {
    const entries = this[Symbol.iterator]();
    while (entries.next().done !== true);
  }
}

/** Packs entries in their order. */
export class EntryPacker {
  readonly #writer = new BinaryWriter();
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
    if (this.#later.length === 0) return new PackedEntries(this.#length, packed);
    const whole = new BinaryWriter();
    let done = 0;
    for (const { at, body } of this.#later) {
      whole.raw(packed.subarray(done, at));
      writeBody(whole, body);
      done = at;
    }
    whole.raw(packed.subarray(done));
    return new PackedEntries(this.#length, whole.finish());
  }

  #addHead(entry: LayerEntry): void {
    writeHead(this.#writer, entry, this.#pathBefore);
    this.#pathBefore = entry.path;
    this.#length++;
  }
}
