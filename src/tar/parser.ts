/**
 * Reads a tar as it comes: a push parser for the forms that layers are in (docs/format/layer-tar.md). POSIX.1-2017
 * pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual, "Tar Internals".
 */
import type { ByteString } from "../base/bytes.ts";
import { partOf, showByteString, toByteString } from "../base/bytes.ts";
import { TAR_EXTENSION_BYTES_MAX } from "../base/limit.ts";
import type { EntryDraft } from "./_entry.ts";
import { readEntry } from "./_entry.ts";
import { tarError, tarInvalid } from "./_error.ts";
import type { ExtensionKind } from "./_header.ts";
import { BLOCK_BYTES, HEADER_FIELDS, checkHeaderSum, extensionKind, isZeroBlock } from "./_header.ts";
import { parseField, showNumber } from "./_number.ts";
import type { PaxHeader } from "./_pax.ts";
import { checkPathLength, mergeGlobal, parsePax } from "./_pax.ts";
import { SparseMapText } from "./_sparse.ts";
import type { TarEntry, TarSink } from "./entry.ts";

/** How a tar is read. */
export interface TarParserOptions {
  /** Names the layer in messages. */
  readonly label: string;
  /** Most bytes of one extended header, long name or sparse map; TAR_EXTENSION_BYTES_MAX by default. */
  readonly extensionBytesMax?: number;
}

/**
 * A tar's bytes in, entries and bodies out to a TarSink, at once and in order. How the bytes are cut into pieces does not
 * matter. A parser that threw, or whose sink did, must not be used again.
 */
export class TarParser {
  readonly #sink: TarSink;
  readonly #place: { readonly label: string; offsetBytes: number };
  readonly #extensionBytesMax: number;
  #offsetBytes = 0;
  #state: "header" | "extension" | "old-sparse" | "sparse-map" | "body" | "skip" | "end" = "header";
  /** Bytes still to come of an extension, a body, or padding. */
  #remainingBytes = 0;
  #zeroBlockCount = 0;

  /** A block that comes in pieces. */
  readonly #block: Uint8Array = new Uint8Array(BLOCK_BYTES);
  #blockFill = 0;

  #extensionKind: ExtensionKind = "ignored";
  /** An extension that comes in pieces. */
  #extension: Uint8Array = NO_BYTES;
  #extensionBytes = 0;

  #local: PaxHeader | undefined;
  #global: PaxHeader | undefined;
  #longPath: ByteString | undefined;
  #longLink: ByteString | undefined;
  /** True after an extension that still waits for its entry. */
  #isExtended = false;

  #draft: EntryDraft | undefined;
  #mapText: SparseMapText | undefined;
  #mapBytes = 0;
  /** The entry whose body comes. */
  #entry: TarEntry | undefined;
  #bodyBytes = 0;

  constructor(sink: TarSink, options: TarParserOptions) {
    this.#sink = sink;
    this.#place = { label: options.label, offsetBytes: 0 };
    this.#extensionBytesMax = options.extensionBytesMax ?? TAR_EXTENSION_BYTES_MAX;
  }

  /** Bytes taken so far, those behind the end mark included. */
  get offsetBytes(): number {
    return this.#offsetBytes;
  }

  /**
   * Takes the next bytes of the tar; calls the sink with what they complete. Body pieces are views of `bytes`.
   * @throws TAR_INVALID, FILE_TYPE_UNSUPPORTED, FILE_TOO_LARGE, PATH_TOO_LONG, DOCUMENT_TOO_LARGE; what the sink throws
   */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += this.pushSome(bytes, at);
  }

  /**
   * As `push`, for whoever may have to wait for the sink: takes bytes from `at` on, and of a sparse file's body no more than 16 KiB,
   * which can be a block for each byte of it. Returns how many it took, one at least.
   */
  pushSome(bytes: Uint8Array, at: number): number {
    const startBytes = this.#offsetBytes - at;
    let next = at;
    do {
      this.#step(bytes, next);
      next = this.#offsetBytes - startBytes;
    } while (next < bytes.length && !this.#isSparseBody());
    return next - at;
  }

  /**
   * Ends the tar. No end mark is needed, and a file's last block need not be padded: nothing is lost by either, and Go's
   * reader takes both.
   * @throws TAR_INVALID where it ends inside a header, extension or body
   */
  finish(): void {
    if (this.#state === "body") {
      const found = this.#bodyBytes - this.#remainingBytes;
      throw this.#truncated(`body of "${this.#shownPath()}"`, `${this.#bodyBytes} bytes`, found);
    }
    if (this.#state === "extension") {
      const found = this.#extensionBytes - this.#remainingBytes;
      throw this.#truncated("extended header", `${this.#extensionBytes} bytes`, found);
    }
    if (this.#state === "old-sparse" || this.#state === "sparse-map") {
      throw this.#truncated(
        `sparse map of "${this.#shownPath()}"`,
        `${BLOCK_BYTES} bytes more`,
        this.#blockFill,
      );
    }
    if (this.#blockFill > 0) {
      this.#place.offsetBytes = this.#offsetBytes - this.#blockFill;
      throw this.#truncated("header", `${BLOCK_BYTES} bytes`, this.#blockFill);
    }
    this.#refuseDangling();
  }

  /** Takes some of the bytes from `at` on: one block, or one run of a body. */
  #step(bytes: Uint8Array, at: number): void {
    switch (this.#state) {
      case "header":
      case "old-sparse":
      case "sparse-map": {
        const block = this.#takeBlock(bytes, at);
        if (block) this.#readBlock(block);
        return;
      }
      case "extension":
        this.#takeExtension(bytes, at);
        return;
      case "body":
        this.#takeBody(bytes, at);
        return;
      case "skip":
        this.#take(bytes, at);
        if (this.#remainingBytes === 0) this.#state = "header";
        return;
      case "end":
        // What follows the end mark belongs to the layer's digest only, as for all readers.
        this.#offsetBytes += bytes.length - at;
        return;
    }
  }

  /** The next block where it is complete: a view, of `bytes` or of scratch memory. */
  #takeBlock(bytes: Uint8Array, at: number): Uint8Array | undefined {
    if (this.#blockFill === 0 && bytes.length - at >= BLOCK_BYTES) {
      this.#offsetBytes += BLOCK_BYTES;
      return bytes.subarray(at, at + BLOCK_BYTES);
    }
    const end = Math.min(bytes.length, at + BLOCK_BYTES - this.#blockFill);
    this.#block.set(bytes.subarray(at, end), this.#blockFill);
    this.#blockFill += end - at;
    this.#offsetBytes += end - at;
    if (this.#blockFill < BLOCK_BYTES) return undefined;
    this.#blockFill = 0;
    return this.#block;
  }

  #readBlock(block: Uint8Array): void {
    if (this.#state === "header") {
      this.#place.offsetBytes = this.#offsetBytes - BLOCK_BYTES;
      if (block[0] === 0 && isZeroBlock(block)) this.#readZeroBlock();
      else this.#readHeader(block);
    } else if (this.#state === "old-sparse") {
      this.#readOldSparse(block);
    } else {
      this.#readSparseMap(block);
    }
  }

  /** POSIX: two zero blocks end the archive. A lone one is passed over, as GNU tar does (with a warning). */
  #readZeroBlock(): void {
    this.#refuseDangling();
    if (++this.#zeroBlockCount === 2) this.#state = "end";
  }

  #readHeader(block: Uint8Array): void {
    this.#zeroBlockCount = 0;
    checkHeaderSum(block, this.#place);
    const kind = extensionKind(block);
    if (kind !== undefined) {
      this.#beginExtension(block, kind);
      return;
    }
    const extensions = {
      local: this.#local,
      global: this.#global,
      longPath: this.#longPath,
      longLink: this.#longLink,
    };
    const draft = readEntry(block, extensions, this.#place);
    if (this.#isExtended) this.#dropExtensions();
    if (draft.sparse === undefined) {
      this.#beginBody(draft.entry, draft.storedBytes);
      return;
    }
    this.#draft = draft;
    if (draft.mapFollows === "none") {
      this.#endSparse(draft, draft.storedBytes);
    } else if (draft.mapFollows === "old-blocks") {
      this.#state = "old-sparse";
    } else {
      this.#mapText = new SparseMapText(draft.sparse, this.#place);
      this.#mapBytes = 0;
      this.#state = "sparse-map";
      this.#checkMapFits(draft);
    }
  }

  #dropExtensions(): void {
    this.#local = undefined;
    this.#longPath = undefined;
    this.#longLink = undefined;
    this.#isExtended = false;
  }

  #beginExtension(block: Uint8Array, kind: ExtensionKind): void {
    const { offset, sizeBytes: fieldBytes } = HEADER_FIELDS.size;
    // The header's own size, never a PAX one: extended headers are for the entry, not for each other.
    const sizeBytes = parseField(block, offset, fieldBytes);
    if (sizeBytes > this.#extensionBytesMax) {
      const message = `extended header: expected at most ${this.#extensionBytesMax} bytes, found ${showNumber(sizeBytes)}`;
      throw tarError(this.#place, "DOCUMENT_TOO_LARGE", message, { limitBytes: this.#extensionBytesMax });
    }
    if (!(sizeBytes >= 0)) {
      throw tarInvalid(
        this.#place,
        `size of an extended header: expected a size, found ${showNumber(sizeBytes)}`,
      );
    }
    this.#extensionKind = kind;
    this.#extensionBytes = sizeBytes;
    this.#remainingBytes = sizeBytes;
    this.#state = "extension";
    if (sizeBytes === 0) this.#endExtension(NO_BYTES);
  }

  #takeExtension(bytes: Uint8Array, at: number): void {
    const sizeBytes = this.#extensionBytes;
    const takenBytes = sizeBytes - this.#remainingBytes;
    const piece = this.#take(bytes, at);
    if (piece.length === sizeBytes) {
      this.#endExtension(piece); // All at once: no copy.
      return;
    }
    // Room grows with what has come, so that a header's claim alone takes no memory.
    if (takenBytes + piece.length > this.#extension.length) {
      const roomBytes = Math.min(sizeBytes, Math.max(4096, 2 * (takenBytes + piece.length)));
      const grown = new Uint8Array(roomBytes);
      grown.set(this.#extension.subarray(0, takenBytes));
      this.#extension = grown;
    }
    this.#extension.set(piece, takenBytes);
    if (this.#remainingBytes > 0) return;
    const whole = this.#extension.subarray(0, sizeBytes);
    this.#extension = NO_BYTES;
    this.#endExtension(whole);
  }

  #endExtension(bytes: Uint8Array): void {
    switch (this.#extensionKind) {
      case "local":
        // Two for one entry: the second replaces the first, as in Go's reader.
        this.#local = parsePax(bytes, this.#place);
        this.#isExtended = true;
        break;
      case "global":
        this.#global = mergeGlobal(this.#global, parsePax(bytes, this.#place), this.#place);
        break;
      case "long-path":
        this.#longPath = this.#longName(bytes, "GNU long name");
        this.#isExtended = true;
        break;
      case "long-link":
        this.#longLink = this.#longName(bytes, "GNU long link");
        this.#isExtended = true;
        break;
      case "ignored":
        this.#dropExtensions();
        break;
    }
    this.#skipPadding(this.#extensionBytes);
  }

  /** GNU tar writes a NUL behind the name and counts it in the size. An empty name is none. */
  #longName(bytes: Uint8Array, what: string): ByteString | undefined {
    const nulAt = bytes.indexOf(0);
    const name = nulAt < 0 ? bytes : bytes.subarray(0, nulAt);
    checkPathLength(name.length, () => what, this.#place);
    return name.length === 0 ? undefined : toByteString(name);
  }

  #readOldSparse(block: Uint8Array): void {
    const draft = this.#draft;
    if (!draft?.sparse) return;
    // GNU tar manual, "struct sparse_header": 21 pairs, then the mark that one more block follows.
    draft.sparse.addFields(block, 0, 21);
    if (block[504] === 0) this.#endSparse(draft, draft.storedBytes);
  }

  #readSparseMap(block: Uint8Array): void {
    const draft = this.#draft;
    this.#mapBytes += BLOCK_BYTES;
    if (!draft || !this.#mapText) return;
    if (this.#mapText.push(block)) this.#endSparse(draft, draft.storedBytes - this.#mapBytes);
    else this.#checkMapFits(draft);
  }

  /** The map's blocks are part of the body: one more must be in it, and in the limit. */
  #checkMapFits(draft: EntryDraft): void {
    const neededBytes = this.#mapBytes + BLOCK_BYTES;
    const what = `sparse map of "${showByteString(draft.entry.path)}"`;
    if (neededBytes > draft.storedBytes) {
      throw tarInvalid(this.#place, `${what}: expected an end in ${draft.storedBytes} bytes, found none`);
    }
    if (neededBytes > this.#extensionBytesMax) {
      const message = `${what}: expected at most ${this.#extensionBytesMax} bytes, found more`;
      throw tarError(this.#place, "DOCUMENT_TOO_LARGE", message, { limitBytes: this.#extensionBytesMax });
    }
  }

  #endSparse(draft: EntryDraft, storedBytes: number): void {
    const sparseRegions = draft.sparse?.finish(storedBytes);
    this.#draft = undefined;
    this.#mapText = undefined;
    this.#beginBody({ ...draft.entry, sparseRegions }, storedBytes);
  }

  #beginBody(entry: TarEntry, storedBytes: number): void {
    this.#sink.entry(entry);
    if (storedBytes === 0) {
      this.#sink.entryEnd();
      this.#state = "header";
      return;
    }
    this.#entry = entry;
    this.#bodyBytes = storedBytes;
    this.#remainingBytes = storedBytes;
    this.#state = "body";
  }

  #isSparseBody(): boolean {
    return this.#entry?.sparseRegions !== undefined;
  }

  #takeBody(bytes: Uint8Array, at: number): void {
    this.#sink.body(this.#take(bytes, at, this.#isSparseBody() ? SPARSE_STEP_BYTES : this.#remainingBytes));
    if (this.#remainingBytes > 0) return;
    this.#entry = undefined;
    this.#sink.entryEnd();
    this.#skipPadding(this.#bodyBytes);
  }

  /** What of the remaining bytes is there, `bytesMax` of it at most, as a view. */
  #take(bytes: Uint8Array, at: number, bytesMax: number = this.#remainingBytes): Uint8Array {
    const end = Math.min(bytes.length, at + this.#remainingBytes, at + bytesMax);
    this.#remainingBytes -= end - at;
    this.#offsetBytes += end - at;
    return partOf(bytes, at, end - at);
  }

  #skipPadding(sizeBytes: number): void {
    this.#remainingBytes = (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#state = this.#remainingBytes === 0 ? "header" : "skip";
  }

  /** An extended header without its entry: the tar was cut between the two. */
  #refuseDangling(): void {
    if (this.#isExtended) {
      throw tarInvalid(
        this.#place,
        "truncated after an extended header: expected its entry, found the archive's end",
      );
    }
  }

  #truncated(what: string, expected: string, foundBytes: number): Error {
    return tarInvalid(this.#place, `truncated ${what}: expected ${expected}, found ${foundBytes}`);
  }

  #shownPath(): string {
    const entry = this.#entry ?? this.#draft?.entry;
    return entry ? showByteString(entry.path) : "";
  }
}

const NO_BYTES = new Uint8Array(0);
/** 64 MiB of blocks at most. */
const SPARSE_STEP_BYTES = 16 * 1024;
