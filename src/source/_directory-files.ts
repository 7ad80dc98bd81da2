/** Files of an image layout in a directory. */
import { throwIfCancelled } from "../base/cancel.ts";
import { DOCUMENT_BYTES_MAX } from "../base/limit.ts";
import { isLambdaImgError } from "../base/error.ts";
import { documentTooLarge } from "./_file-error.ts";
import type { FileRequest, FileStream, ImageFiles } from "./_image-files.ts";
import { OpenFile, requireDirectory, type ReadCount } from "./_open-file.ts";

/** Opens each file when its turn comes, and holds none open between. */
export class DirectoryFiles implements ImageFiles {
  readonly label: string;
  readonly #directory: string;
  readonly #count: ReadCount = { bytes: 0 };

  private constructor(directory: string) {
    this.#directory = directory;
    this.label = `image layout ${directory}`;
  }

  /** @throws SOURCE_NOT_FOUND, SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE, OCI_INVALID */
  static async open(directory: string): Promise<DirectoryFiles> {
    const files = new DirectoryFiles(directory);
    await requireDirectory(directory, files.label);
    return files;
  }

  async has(path: string): Promise<boolean> {
    try {
      const file = await this.#open({ path, label: this.label });
      await file.close();
      return true;
    } catch (error) {
      if (isLambdaImgError(error, "SOURCE_NOT_FOUND")) return false;
      throw error;
    }
  }

  // One gzip stream is inflated by one thread: several layers at a time keep the other processors busy, too.
  readonly streamsAtOnce = 3;

  async readDocument(request: FileRequest): Promise<Uint8Array> {
    const file = await this.#open(request);
    try {
      if (file.sizeBytes > DOCUMENT_BYTES_MAX) throw documentTooLarge(request.label, file.sizeBytes);
      return await file.read(0, file.sizeBytes);
    } finally {
      await file.close();
    }
  }

  async *stream(
    requests: readonly FileRequest[],
    options: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<FileStream, void, undefined> {
    for (const [requestIndex, request] of requests.entries()) {
      throwIfCancelled(options.signal);
      yield { requestIndex, bytes: this.#streamFile(request, options.signal) };
      await Promise.resolve();
    }
  }

  pulledBytes(): number {
    return this.#count.bytes;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async *#streamFile(
    request: FileRequest,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await this.#open(request);
    try {
      yield* file.stream({ offsetBytes: 0, sizeBytes: Number.MAX_SAFE_INTEGER, signal });
    } finally {
      await file.close();
    }
  }

  #open(request: FileRequest): Promise<OpenFile> {
    return OpenFile.open(`${this.#directory}/${request.path}`, request.label, this.#count);
  }
}
