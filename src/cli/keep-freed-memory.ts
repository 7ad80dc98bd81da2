/** How much of the memory that was given back the C library keeps for the next use. */
import { releaseBytes } from "../base/release.ts";
import { MIB } from "../base/units.ts";

const SAMPLE_BYTES = 8 * MIB;

/**
 * Makes the C library keep up to twice 8 MiB of freed memory. glibc takes the largest piece that was mapped and freed as the measure of
 * what comes and goes (mallopt(3), "M_MMAP_THRESHOLD": dynamic adjustment); a chunk, half a MiB, is not enough of one: where several
 * are freed it gives their pages back, and the kernel clears them anew for the next. Another C library is as it was.
 */
export function keepFreedMemory(): void {
  releaseBytes(new Uint8Array(SAMPLE_BYTES)); // Nothing is written to it: it takes addresses only.
}
