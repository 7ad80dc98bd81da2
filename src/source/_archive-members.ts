/** The members of an archive, one after another, each with its place and its bytes. */
import type { ByteString } from "../base/bytes.ts";
import { showByteString } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancel.ts";
import { LambdaImgError } from "../base/error.ts";
import { ARCHIVE_ENTRY_COUNT_MAX } from "../base/limit.ts";
import { alignUp, KIB } from "../base/units.ts";
import type { TarEntry, TarEntryType, TarSink } from "../tar/entry.ts";
import { TarParser } from "../tar/parser.ts";
import type { ArchiveCursor } from "./_archive-cursor.ts";

/** One member. Its bytes can be taken until the next member is asked for. */
export interface ArchiveMember {
  /** 0 is the archive's first. */
  readonly memberIndex: number;
  /** Cleaned: without `.`, `..` and empty parts, as if `/` were the archive's top. */
  readonly path: string;
  readonly type: TarEntryType;
  readonly linkTarget: string;
  /** Where its bytes start in the (uncompressed) archive. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** True for sparse files: their bytes in the archive are not those of the file. */
  readonly isSparse: boolean;
  readonly bytes: () => AsyncGenerator<Uint8Array, void, undefined>;
}

/** Tar's unit, of headers and of padding (POSIX pax, "ustar Interchange Format"). */
const BLOCK_BYTES = 512;

/**
 * Yields every member. Whoever stops early leaves the cursor where it is.
 * @throws ARCHIVE_INVALID, TREE_TOO_LARGE, CANCELLED
 */
export async function* walkArchive(
  cursor: ArchiveCursor,
  options: { readonly label: string; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<ArchiveMember, void, undefined> {
  const { label } = options;
  const headers = new HeaderReader(label);
  for (let memberIndex = 0; ;) {
    throwIfCancelled(options.signal);
    const block = await cursor.take(BLOCK_BYTES);
    if (block.length === 0) {
      headers.finish();
      return;
    }
    const entry = headers.push(block);
    if (entry === undefined) continue;
    if (memberIndex >= ARCHIVE_ENTRY_COUNT_MAX) throw tooManyEntries(label);
    const start = cursor.offsetBytes;
    const sizeBytes = storedSize(entry);
    yield {
      memberIndex: memberIndex++,
      path: cleanPath(entry.path),
      type: entry.type,
      linkTarget: entry.linkTarget,
      offsetBytes: start,
      sizeBytes,
      isSparse: entry.sparseRegions !== undefined,
      bytes: () => bodyOf(cursor, { endBytes: start + sizeBytes, label, signal: options.signal }),
    };
    await skipBody(cursor, start + sizeBytes, { label, path: entry.path });
    headers.passBody(sizeBytes);
    await cursor.skip(alignUp(sizeBytes, BLOCK_BYTES) - sizeBytes);
  }
}

/** A path of an archive as its parts below the top: `./a//b/../c` is `a/c`. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/**
 * The project's tar parser, fed with headers only. It needs no bytes of bodies, so it is given zeros for them:
 * those of a plain archive need not be read at all.
 */
class HeaderReader implements TarSink {
  readonly #parser: TarParser;
  #entry: TarEntry | undefined;

  constructor(label: string) {
    this.#parser = new TarParser(this, { label });
  }

  /** Takes a block; returns the entry whose last header block it was. */
  push(block: Uint8Array): TarEntry | undefined {
    this.#entry = undefined;
    guard(() => {
      this.#parser.push(block);
    });
    return this.#entry;
  }

  passBody(sizeBytes: number): void {
    for (let left = alignUp(sizeBytes, BLOCK_BYTES); left > 0; left -= ZEROS.length) {
      this.#parser.push(ZEROS.subarray(0, left));
    }
  }

  finish(): void {
    guard(() => {
      this.#parser.finish();
    });
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
  }

  body(): void {
    // Zeros from passBody().
  }

  entryEnd(): void {
    // The next header says as much.
  }
}

const ZEROS = new Uint8Array(64 * KIB);

/** What is wrong with the tar is here wrong with the archive. */
function guard(work: () => void): void {
  try {
    work();
  } catch (cause) {
    if (!(cause instanceof LambdaImgError)) throw cause;
    throw new LambdaImgError("ARCHIVE_INVALID", cause.message, { cause, details: cause.details });
  }
}

function storedSize(entry: TarEntry): number {
  if (entry.sparseRegions === undefined) return entry.sizeBytes;
  return entry.sparseRegions.reduce((sum, region) => sum + region.sizeBytes, 0);
}

async function* bodyOf(
  cursor: ArchiveCursor,
  range: { readonly endBytes: number; readonly label: string; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array, void, undefined> {
  while (cursor.offsetBytes < range.endBytes) {
    throwIfCancelled(range.signal);
    const piece = await cursor.takeSome(range.endBytes - cursor.offsetBytes);
    if (piece === undefined) throw truncated(range.label, range.endBytes - cursor.offsetBytes);
    yield piece;
  }
}

async function skipBody(
  cursor: ArchiveCursor,
  endBytes: number,
  member: { readonly label: string; readonly path: ByteString },
): Promise<void> {
  const leftBytes = endBytes - cursor.offsetBytes;
  const passedBytes = await cursor.skip(leftBytes);
  if (passedBytes === leftBytes) return;
  throw truncated(`${member.label}: ${showByteString(member.path)}`, leftBytes - passedBytes);
}

function truncated(label: string, missingBytes: number): LambdaImgError {
  return new LambdaImgError(
    "ARCHIVE_INVALID",
    `${label}: the archive is truncated: ${missingBytes} bytes are missing`,
  );
}

function tooManyEntries(label: string): LambdaImgError {
  return new LambdaImgError(
    "TREE_TOO_LARGE",
    `${label}: too many entries: the limit is ${ARCHIVE_ENTRY_COUNT_MAX}`,
  );
}
