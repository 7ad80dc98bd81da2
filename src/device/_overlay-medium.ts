// ⚡ uses: file system
/** The file below an overlay, as the few calls that are made of it; tests put a disk that loses power in its place. */
import type { FileHandle } from "node:fs/promises";

import { errnoOf, LambdaImgError, type ErrorCode } from "../base/error.ts";

/** Bytes at offsets that last once `sync` has resolved. */
export interface OverlayMedium {
  /** Fills `target` as far as the file reaches, and the rest with zeros. */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  /** Writes all of the bytes. */
  write(bytes: Uint8Array, offsetBytes: number): Promise<void>;
  /** Makes all writes that resolved before lasting. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const FULL: readonly string[] = ["ENOSPC", "EDQUOT", "EFBIG"];

/** A failed system call as an error of the overlay; other errors as they are. */
export function overlayError(error: unknown, what: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof LambdaImgError || !/^E[A-Z0-9]+$/.test(errno)) return error;
  const code: ErrorCode = FULL.includes(errno) ? "OVERLAY_FULL" : "OVERLAY_UNAVAILABLE";
  return new LambdaImgError(code, `${what}: ${errno}`, { details: { errno }, cause: error });
}

/** A file that is open for reading and writing; closing this closes it, and then does `onClosed`. */
export class FileMedium implements OverlayMedium {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #onClosed: () => Promise<void>;

  constructor(file: FileHandle, path: string, onClosed: () => Promise<void> = () => Promise.resolve()) {
    this.#file = file;
    this.#path = path;
    this.#onClosed = onClosed;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    let at = 0;
    while (at < target.length) {
      const count = await this.#call("read", async () => {
        const { bytesRead } = await this.#file.read(target, at, target.length - at, offsetBytes + at);
        return bytesRead;
      });
      if (count === 0) break;
      at += count;
    }
    target.fill(0, at);
  }

  async write(bytes: Uint8Array, offsetBytes: number): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      at += await this.#call("write", async () => {
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, offsetBytes + at);
        return bytesWritten;
      });
    }
  }

  async sync(): Promise<void> {
    // Data, and what is needed to find it again: the file's size is, its times are not.
    await this.#call("sync", () => this.#file.datasync());
  }

  async close(): Promise<void> {
    await this.#call("close", () => this.#file.close().finally(this.#onClosed));
  }

  async #call<T>(verb: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw overlayError(error, `${this.#path}: cannot ${verb} the overlay`);
    }
  }
}
