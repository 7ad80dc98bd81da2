/** The contract of what keeps an overlay's pages: in memory, or in a file. */

/** The unit of an overlay. */
export const PAGE_BYTES = 4096;

/** Where a page's bytes are: still those of the disk image, known to be zeros, or kept in the store. */
export type PageKind = "base" | "zero" | "stored";

/** Neighbouring pages of one kind. */
export interface PageRun {
  readonly kind: PageKind;
  readonly firstPage: number;
  readonly pageCount: number;
}

/** New content of neighbouring pages: whole pages of bytes, or zeros. */
export interface PageChange {
  readonly firstPage: number;
  readonly pageCount: number;
  /** `pageCount` pages; absent where all become zeros, which gives their room back. */
  readonly bytes?: Uint8Array;
}

/**
 * Pages over a disk image, sealed wherever they lie. The caller sees to it that pages which one call changes are
 * in no other call at that time; calls for other pages may overlap in time.
 */
export interface OverlayStore {
  /** Pages of the device. */
  readonly pageCount: number;
  /** The most bytes of pages that are kept at once; pages of zeros do not count. */
  readonly maxBytes: number;
  /** Bytes of the pages that are kept now. */
  readonly storedBytes: number;

  /** The longest run that starts at `firstPage` and ends by `endPage`, which is above it. */
  runAt(firstPage: number, endPage: number): PageRun;

  /**
   * Reads stored pages, as many as `target` has room for.
   * @throws OVERLAY_CORRUPT where a page is not what was written there; OVERLAY_UNAVAILABLE
   */
  read(firstPage: number, target: Uint8Array): Promise<void>;

  /**
   * Makes the changes, whose pages are all different. The bytes are not kept. Where there is no room for all of
   * them nothing is changed; any other failure leaves each page as it was or as it was to be.
   * @throws OVERLAY_FULL, OVERLAY_UNAVAILABLE
   */
  apply(changes: readonly PageChange[]): Promise<void>;

  /** Resolves when every change that resolved before is as lasting as this store can make it. @throws OVERLAY_UNAVAILABLE */
  flush(): Promise<void>;

  /** Flushes and ends the use of the store. Can be called again. @throws OVERLAY_UNAVAILABLE */
  close(): Promise<void>;
}
