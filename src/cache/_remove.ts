// ⚡ uses: file system
/** Removal of what lies where files of the disk tier belong, whatever it is. */
import { rmdir, unlink } from "node:fs/promises";

import { errnoOf } from "../base/error.ts";

/**
 * Removes a file of any kind, or a directory that is empty; one that has gone is fine. A link goes, and what it leads to
 * stays. Throws errors of the system, as for a directory with something in it.
 */
export async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    // What unlink says of a directory is not the same everywhere; rmdir takes nothing else.
    await rmdir(path).catch(() => {
      throw error;
    });
  }
}
