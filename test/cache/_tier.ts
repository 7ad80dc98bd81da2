/** A disk tier for one test, with the clock and the ear of the test. */
import path from "node:path";

import { onTestFinished } from "vitest";

import { DISK_TIER_BYTES_MIN, DiskTier } from "../../src/cache/disk-tier.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";
import type { MadeChunk } from "./_chunks.ts";

/** Where a test's tier is to be, what it has said, and what its clock shows: the test moves it. */
export function newTestPlace(): { directory: string; problems: string[]; nowMs: number } {
  const temporary = temporaryDirectory();
  onTestFinished(temporary.remove);
  // The kernel notes reads of files that were not read for a day: times long ago would not stay.
  return { directory: path.join(temporary.path, "cache"), problems: [], nowMs: Date.now() };
}

/** The least tier there may be; closed when the test ends. */
export async function openTestTier(
  where: string,
  use: { readonly problems: string[]; nowMs(): number },
): Promise<DiskTier> {
  const tier = await DiskTier.open({
    path: where,
    maxBytes: DISK_TIER_BYTES_MIN,
    onProblem: (text) => use.problems.push(text),
    nowMs: () => use.nowMs(),
  });
  onTestFinished(() => tier.close());
  return tier;
}

/** Where the file of a chunk is. */
export function fileIn(directory: string, { name }: MadeChunk): string {
  return path.join(directory, "chunks-v1", name.slice(0, 1), name);
}
