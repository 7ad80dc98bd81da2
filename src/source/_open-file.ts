// ⚡ uses: file system, time, Buffer
/** A regular file, opened for reading by offset; every read is counted. */
import { constants, readSync } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";

import { throwIfCancelled } from "../base/cancel.ts";
import { LambdaImgError } from "../base/error.ts";
import { KIB, MIB } from "../base/units.ts";
import { fileError } from "./_file-error.ts";

/** Bytes asked for at once while they come from memory: few enough that they stay in a processor's cache. */
const READ_BYTES_HERE = 128 * KIB;
/** After so much of that, other work of the process has its turn. */
const TURN_BYTES = 2 * MIB;
/** Reads that wait for a disk take longer than this in all, and one millisecond for each of so many bytes. */
const WAITED_MS_MAX = 20;
const BYTES_PER_MS = 1_000_000;
/** No read counts for more: where processors are few, one may stand still for 30 ms because something else has its turn. */
const WAITED_MS_EACH = 4;

/** Bytes asked for at once, ahead of their use, where they come from a disk. */
const READ_BYTES_AHEAD = 512 * KIB;

/** Counts what a source has read, over all of its files. */
export interface ReadCount {
  bytes: number;
}

/** A range of a file to stream. */
export interface FileRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** @throws SOURCE_NOT_FOUND, SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE; OCI_INVALID for what is no directory */
export async function requireDirectory(path: string, label: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) return;
  } catch (cause) {
    throw fileError(cause, label, path);
  }
  throw new LambdaImgError("OCI_INVALID", `${label}: not a directory (for a tar, use oci-archive:)`);
}

/** An open file. Close it once. */
export class OpenFile {
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #label: string;
  readonly #path: string;
  readonly #count: ReadCount;

  private constructor(
    file: FileHandle,
    sizeBytes: number,
    facts: { label: string; path: string; count: ReadCount },
  ) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#label = facts.label;
    this.#path = facts.path;
    this.#count = facts.count;
  }

  /**
   * Opens a regular file; symbolic links to one are followed.
   * @throws SOURCE_NOT_FOUND, SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE; ARCHIVE_INVALID for what is no regular file
   */
  static async open(path: string, label: string, count: ReadCount): Promise<OpenFile> {
    try {
      // O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const status = await file.stat();
        if (!status.isFile()) {
          throw new LambdaImgError("ARCHIVE_INVALID", `${label}: not a regular file: ${path}`);
        }
        return new OpenFile(file, status.size, { label, path, count });
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (cause) {
      throw fileError(cause, label, path);
    }
  }

  /** Reads up to `sizeBytes` bytes, fewer only at the end of the file; they are the caller's. */
  async read(offsetBytes: number, sizeBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(sizeBytes).buffer);
    return bytes.subarray(0, await this.#readInto(bytes, offsetBytes));
  }

  /** Fills the bytes, and returns how many there were: fewer only at the end of the file. */
  async #readInto(bytes: Uint8Array, offsetBytes: number): Promise<number> {
    let filledBytes = 0;
    try {
      while (filledBytes < bytes.length) {
        const step = await this.#file.read(
          bytes,
          filledBytes,
          bytes.length - filledBytes,
          offsetBytes + filledBytes,
        );
        if (step.bytesRead === 0) break;
        filledBytes += step.bytesRead;
      }
    } catch (cause) {
      throw fileError(cause, this.#label, this.#path);
    }
    this.#count.bytes += filledBytes;
    return filledBytes;
  }

  /**
   * The bytes of a range, or up to the end of the file where that comes first; lent until the next are asked for.
   *
   * What the page cache has is read in this thread: through Node's threads each byte goes from one processor's cache to
   * another's, which takes five times as long. Where that turns out to wait for a disk, the next piece is read while one is lent.
   */
  async *stream(range: FileRange): AsyncGenerator<Uint8Array, void, undefined> {
    const endBytes = range.offsetBytes + range.sizeBytes;
    const { signal } = range;
    throwIfCancelled(signal);
    const room = new Uint8Array(this.#wanted(range.offsetBytes, endBytes, READ_BYTES_HERE));
    let at = range.offsetBytes;
    let waitedMs = 0;
    while (waitedMs <= WAITED_MS_MAX + (at - range.offsetBytes) / BYTES_PER_MS) {
      const startedMs = performance.now();
      const piece = room.subarray(0, this.#wanted(at, endBytes, room.length));
      const filledBytes = this.#readHere(piece, at);
      waitedMs += Math.min(WAITED_MS_EACH, performance.now() - startedMs);
      if (filledBytes === 0) return;
      yield piece.subarray(0, filledBytes);
      throwIfCancelled(signal);
      if (Math.floor(at / TURN_BYTES) !== Math.floor((at + filledBytes) / TURN_BYTES)) await setImmediate();
      at += filledBytes;
    }
    yield* this.#streamAhead({ offsetBytes: at, sizeBytes: endBytes - at, signal });
  }

  /** The same; while a piece is lent the next is read, so that its user need not wait for it. */
  async *#streamAhead(range: FileRange): AsyncGenerator<Uint8Array, void, undefined> {
    const endBytes = range.offsetBytes + range.sizeBytes;
    const rooms = [new Uint8Array(0), new Uint8Array(0)];
    let at = range.offsetBytes;
    const readNext = async (): Promise<Uint8Array> => {
      const wanted = this.#wanted(at, endBytes, READ_BYTES_AHEAD);
      let room = rooms.shift() ?? new Uint8Array(wanted);
      if (room.length < wanted) room = new Uint8Array(wanted);
      rooms.push(room);
      const filledBytes = await this.#readInto(room.subarray(0, wanted), at);
      at += filledBytes;
      return room.subarray(0, filledBytes);
    };
    const begin = (): Promise<Uint8Array> => {
      const reading = readNext();
      reading.catch(() => undefined); // Whoever asks for it hears of its failure; whoever stops early does not.
      return reading;
    };
    let next = begin();
    try {
      for (;;) {
        const piece = await next;
        if (piece.length === 0) return;
        next = begin();
        yield piece;
        throwIfCancelled(range.signal);
      }
    } finally {
      await Promise.allSettled([next]); // The file may be closed after this.
    }
  }

  /** Bytes to ask for. The size known from opening keeps the last read, and small files, from taking a whole buffer. */
  #wanted(at: number, endBytes: number, bytesMax: number): number {
    return Math.max(0, Math.min(bytesMax, endBytes - at, Math.max(this.sizeBytes - at, 1)));
  }

  /** Reads some of the bytes, and returns how many: none only at the end of the file. */
  #readHere(bytes: Uint8Array, offsetBytes: number): number {
    try {
      const filledBytes = readSync(this.#file.fd, bytes, 0, bytes.length, offsetBytes);
      this.#count.bytes += filledBytes;
      return filledBytes;
    } catch (cause) {
      throw fileError(cause, this.#label, this.#path);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
