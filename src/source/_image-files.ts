/** The contract between the formats of image sources (layout, docker-archive) and where their files lie. */

/** A file wanted as a stream. `path` is relative to the source's top; `label` is for messages. */
export interface FileRequest {
  readonly path: string;
  readonly label: string;
}

/** What was asked for, by its index, and the file's bytes. */
export interface FileStream {
  readonly requestIndex: number;
  /** To be read or closed; before the next stream is asked for, where `streamsAtOnce` are open. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Read-only files under relative paths, in a directory or an archive. Errors name `label`s. */
export interface ImageFiles {
  /** For messages: `image layout DIR`, `archive FILE`. */
  readonly label: string;
  has(path: string): Promise<boolean>;
  /**
   * The whole file.
   * @throws SOURCE_NOT_FOUND; DOCUMENT_TOO_LARGE above DOCUMENT_BYTES_MAX
   */
  readDocument(request: FileRequest): Promise<Uint8Array>;
  /**
   * Every file asked for, in the order that is cheapest here. A file that is missing fails when its turn comes.
   * @throws SOURCE_NOT_FOUND, SOURCE_UNAVAILABLE, ARCHIVE_INVALID, CANCELLED
   */
  stream(
    requests: readonly FileRequest[],
    options: { readonly signal?: AbortSignal | undefined },
  ): AsyncIterable<FileStream>;
  /** How many streams may be open when the next is asked for, that one included. */
  readonly streamsAtOnce: number;
  /** Bytes read so far from outside. */
  pulledBytes(): number;
  close(): Promise<void>;
}
