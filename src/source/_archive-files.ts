/** Files of an image in a tar archive, plain or compressed. Nothing is unpacked. */
import { asByteString, concatBytes, copyOf, showByteString, utf8ByteString } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import { DOCUMENT_BYTES_MAX, SYMLINK_FOLLOW_MAX } from "../base/limit.ts";
import { MIB } from "../base/units.ts";
import { COMPRESSION_HEAD_BYTES, detectCompression } from "../oci/compression.ts";
import { decompress } from "../oci/decompress.ts";
import { FileCursor, StreamCursor, type ArchiveCursor } from "./_archive-cursor.ts";
import { cleanPath, walkArchive, type ArchiveMember } from "./_archive-members.ts";
import { documentTooLarge, notFound } from "./_file-error.ts";
import type { FileRequest, FileStream, ImageFiles } from "./_image-files.ts";
import { OpenFile, type ReadCount } from "./_open-file.ts";

/** Bytes of documents kept in memory from a compressed archive, in which nothing can be read again cheaply. */
const KEPT_BYTES_MAX: number = 64 * MIB;

type Member = Omit<ArchiveMember, "bytes">;
type StreamOptions = { readonly signal?: AbortSignal | undefined };

/**
 * An archive with an index of its members. A plain one is read by offset; a compressed one is read from front
 * to end once to open it, and once more for the layers. A name that stands twice counts as its last, as if unpacked.
 */
export class ArchiveFiles implements ImageFiles {
  readonly label: string;
  readonly #file: OpenFile;
  readonly #isCompressed: boolean;
  readonly #count: ReadCount;
  readonly #members = new Map<string, Member>();
  readonly #kept = new Map<number, Uint8Array>();

  private constructor(file: OpenFile, facts: { label: string; isCompressed: boolean; count: ReadCount }) {
    this.#file = file;
    this.label = facts.label;
    this.#isCompressed = facts.isCompressed;
    this.#count = facts.count;
  }

  /**
   * Opens and indexes an archive.
   * @throws SOURCE_NOT_FOUND, SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE, ARCHIVE_INVALID, COMPRESSION_UNSUPPORTED, CANCELLED
   */
  static async open(path: string, options: StreamOptions): Promise<ArchiveFiles> {
    const label = `archive ${path}`;
    const count: ReadCount = { bytes: 0 };
    const file = await OpenFile.open(path, label, count);
    try {
      const head = await file.read(0, COMPRESSION_HEAD_BYTES);
      const isCompressed = detectCompression(head, label) !== "none";
      const files = new ArchiveFiles(file, { label, isCompressed, count });
      await files.#readIndex(options);
      return files;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  has(path: string): Promise<boolean> {
    return Promise.resolve(this.#find(path)?.type === "file");
  }

  // An archive has its files in a row.
  readonly streamsAtOnce = 1;

  async readDocument(request: FileRequest): Promise<Uint8Array> {
    const member = this.#require(request);
    if (member.sizeBytes > DOCUMENT_BYTES_MAX) throw documentTooLarge(request.label, member.sizeBytes);
    if (!this.#isCompressed) return this.#file.read(member.offsetBytes, member.sizeBytes);
    const kept = this.#kept.get(member.memberIndex);
    if (kept !== undefined) return kept;
    throw new LambdaImgError("OCI_INVALID", `${request.label}: not a JSON document: ${request.path}`);
  }

  stream(requests: readonly FileRequest[], options: StreamOptions): AsyncIterable<FileStream> {
    return this.#isCompressed
      ? this.#streamInOrder(requests, options)
      : this.#streamByOffset(requests, options);
  }

  pulledBytes(): number {
    return this.#count.bytes;
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #readIndex(options: StreamOptions): Promise<void> {
    const cursor = this.#cursor(options);
    let keptBytes = 0;
    try {
      for await (const member of walkArchive(cursor, { label: this.label, ...options })) {
        const { bytes, ...facts } = member;
        this.#members.set(member.path, facts);
        if (!this.#isCompressed || member.type !== "file" || member.sizeBytes > DOCUMENT_BYTES_MAX) continue;
        const document = await readDocumentBody(bytes());
        if (document === undefined) continue;
        keptBytes += document.length;
        if (keptBytes > KEPT_BYTES_MAX) throw documentTooLarge(`${this.label}: all documents`, keptBytes);
        this.#kept.set(member.memberIndex, document);
      }
    } catch (error) {
      throw asArchiveError(error);
    } finally {
      await cursor.close();
    }
  }

  async *#streamByOffset(
    requests: readonly FileRequest[],
    options: StreamOptions,
  ): AsyncGenerator<FileStream, void, undefined> {
    for (const [requestIndex, request] of requests.entries()) {
      yield { requestIndex, bytes: this.#streamMember(request, options) };
      await Promise.resolve();
    }
  }

  async *#streamMember(
    request: FileRequest,
    options: StreamOptions,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { offsetBytes, sizeBytes } = this.#require(request);
    yield* this.#file.stream({ offsetBytes, sizeBytes, ...options });
  }

  async *#streamInOrder(
    requests: readonly FileRequest[],
    options: StreamOptions,
  ): AsyncGenerator<FileStream, void, undefined> {
    // Before the long way through the archive: all that is asked for must be in it. Two may ask for one member.
    const wanted = new Map<number, number[]>();
    for (const [requestIndex, request] of requests.entries()) {
      const { memberIndex } = this.#require(request);
      wanted.set(memberIndex, [...(wanted.get(memberIndex) ?? []), requestIndex]);
    }
    if (wanted.size === 0) return;
    const cursor = this.#cursor(options);
    try {
      for await (const member of walkArchive(cursor, { label: this.label, ...options })) {
        const [requestIndex, ...others] = wanted.get(member.memberIndex) ?? [];
        if (requestIndex === undefined) continue;
        if (others.length > 0) throw sharedMember(this.label, member.path);
        yield { requestIndex, bytes: archiveErrors(member.bytes()) };
        wanted.delete(member.memberIndex);
        if (wanted.size === 0) return;
      }
    } catch (error) {
      throw asArchiveError(error);
    } finally {
      await cursor.close();
    }
    throw new LambdaImgError("ARCHIVE_INVALID", `${this.label}: the archive changed while it was read`);
  }

  #cursor(options: StreamOptions): ArchiveCursor {
    if (!this.#isCompressed) return new FileCursor(this.#file);
    const stored = this.#file.stream({ offsetBytes: 0, sizeBytes: Number.MAX_SAFE_INTEGER, ...options });
    return new StreamCursor(decompress(stored, this.label));
  }

  #require(request: FileRequest): Member {
    const member = this.#find(request.path);
    if (member === undefined) throw notFound(request.label, `${request.path} in ${this.label}`);
    if (member.type === "file" && !member.isSparse) return member;
    const found = member.isSparse ? "a sparse file" : member.type;
    throw new LambdaImgError(
      "ARCHIVE_INVALID",
      `${request.label}: expected a file, found ${found}: ${showByteString(asByteString(member.path))} in ${this.label}`,
    );
  }

  /** The member behind a path; links lead on inside the archive only (old `docker save` links equal layers). */
  #find(path: string): Member | undefined {
    let at = cleanPath(utf8ByteString(path));
    for (let follow = 0; follow <= SYMLINK_FOLLOW_MAX; follow++) {
      const member = this.#members.get(at);
      if (member?.type === "hardlink") at = cleanPath(member.linkTarget);
      else if (member?.type === "symlink") at = linkedPath(at, member.linkTarget);
      else return member;
    }
    return undefined;
  }
}

/** What a symbolic link at `path` names; an absolute target starts at the archive's top. */
function linkedPath(path: string, target: string): string {
  if (target.startsWith("/")) return cleanPath(target);
  return cleanPath(`${path.slice(0, Math.max(0, path.lastIndexOf("/")))}/${target}`);
}

/** The body, where it begins as a JSON document does. */
async function readDocumentBody(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array | undefined> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) {
    const isFirst = pieces.length === 0;
    if (isFirst && !/^[\s[{]/.test(String.fromCharCode(piece[0] ?? 0))) return undefined;
    pieces.push(copyOf(piece)); // A copy, for a view would keep all that was decompressed with it.
  }
  return concatBytes(...pieces);
}

async function* archiveErrors(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* bytes;
  } catch (error) {
    throw asArchiveError(error);
  }
}

/** Damage of the archive's own compression is not a layer's. */
function asArchiveError(error: unknown): unknown {
  if (!(error instanceof LambdaImgError) || error.code !== "LAYER_INVALID") return error;
  return new LambdaImgError("ARCHIVE_INVALID", error.message, { cause: error });
}

function sharedMember(label: string, path: string): LambdaImgError {
  return new LambdaImgError(
    "ARCHIVE_INVALID",
    `${label}: layers with different diff IDs share one file: ${showByteString(asByteString(path))}`,
  );
}
