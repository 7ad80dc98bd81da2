/** The contract of a block device: an array of bytes of fixed size that can be read, and perhaps written. */
import type { BlockSource, CallOptions } from "../base/block-source.ts";

/** A range of a device. */
export interface DeviceRange {
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** What a part of a device is made of. */
export interface DeviceExtent {
  readonly sizeBytes: number;
  /** It reads as zeros. */
  readonly isZero: boolean;
  /** Nothing is stored for it. Only where isZero. */
  readonly isHole: boolean;
}

/**
 * Calls may overlap in time. Calls whose ranges overlap, one of which writes, may take effect in any order, but each as a whole
 * page at a time; a call that begins after another has resolved sees what that one did. Ranges need no alignment.
 *
 * A range that is not inside the device is refused with DEVICE_RANGE_INVALID, and a change of a read-only device with
 * DEVICE_READ_ONLY. Every read may throw CHUNK_NOT_FOUND, CHUNK_CORRUPT, STORE_FORBIDDEN or STORE_UNAVAILABLE; what a read
 * gives is verified. A call whose signal comes before it is done may throw CANCELLED; a change has then been made, or has
 * not, as in a failure.
 */
export interface BlockDevice extends BlockSource {
  readonly isReadOnly: boolean;

  /**
   * Writes the bytes, which stay the caller's and are not kept after the call. Lasting once `flush` has resolved, as far
   * as this device lasts at all.
   * @throws OVERLAY_FULL, OVERLAY_UNAVAILABLE; what a read throws, where the range does not cover whole pages
   */
  write(offsetBytes: number, bytes: Uint8Array, options?: CallOptions): Promise<void>;

  /** Makes the range zero; with `mayDiscard`, room may be given back. @throws as write */
  writeZeroes(range: DeviceRange, options: { readonly mayDiscard: boolean } & CallOptions): Promise<void>;

  /** Says that the range is not needed any more: it reads as zeros from now on, and its room may be given back. @throws as write */
  discard(range: DeviceRange, options?: CallOptions): Promise<void>;

  /** Resolves when every write that resolved before is as lasting as this device can make it. */
  flush(): Promise<void>;

  /** Brings the range nearer (into memory or a cache) where the device can; never an error of its own for what it cannot. */
  prefetch(range: DeviceRange, options?: CallOptions): Promise<void>;

  /** What the range is made of: extents that cover it exactly, in order; neighbours differ. */
  extents(range: DeviceRange): Promise<readonly DeviceExtent[]>;

  /** Ends the use of the device; calls after it fail. Can be called again. */
  close(): Promise<void>;
}
