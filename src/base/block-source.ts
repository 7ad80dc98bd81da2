/** The contract between what has a disk image's bytes and what reads them. */

/** For whom something is done. */
export interface CallOptions {
  /**
   * Comes when nobody waits for the call any more: it may fail with CANCELLED then, instead of waiting for what may never
   * come.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Random access to a disk image. */
export interface BlockSource {
  readonly sizeBytes: number;
  /**
   * Reads exactly `sizeBytes` bytes at `offsetBytes`. What it returns belongs to the caller, but may be a view of
   * larger memory; it is never written to.
   * @throws CHUNK_NOT_FOUND, CHUNK_CORRUPT, STORE_UNAVAILABLE; DISK_IMAGE_INVALID past the end
   */
  read(offsetBytes: number, sizeBytes: number, options?: CallOptions): Promise<Uint8Array>;
}
