/** The library for zstd, in a file of its own: what is loaded with compiled code cannot import modules (docs/decisions/0018-code-cache.md). */
import type * as Zstddec from "zstddec/stream";

/** Loads it; once, however often it is called. */
export function loadZstdLibrary(): Promise<typeof Zstddec> {
  return import("zstddec/stream");
}
