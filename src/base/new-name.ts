// ⚡ uses: file system
/** Names for files that are written: a name that somebody has is never taken from them. */
import { link, open, rename, unlink } from "node:fs/promises";

import { errnoOf } from "./error.ts";

/**
 * What link(2) says where a file system has no hard links: "EPERM The filesystem containing oldpath and newpath does not support the
 * creation of hard links"; FUSE and network file systems say the others. exFAT and FAT are such.
 */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/** Whether link(2) failed because the file system has no hard links. */
export function isWithoutHardLinks(error: unknown): boolean {
  return NO_HARD_LINKS.has(errnoOf(error));
}

/**
 * Gives a file that is whole a name that nobody has. The name it had may be there afterwards: remove it.
 * Without hard links the name is taken with an empty file first, so that whoever looks at that moment finds it empty.
 * @throws EEXIST where the name is taken; what link(2), open(2) and rename(2) say
 */
export async function giveNewName(from: string, to: string): Promise<void> {
  try {
    // link(2) fails where the name exists, also where it came into being a moment ago; rename(2) would replace that file.
    await link(from, to);
  } catch (error) {
    if (!isWithoutHardLinks(error)) throw error;
    await (await open(to, "wx")).close();
    try {
      await rename(from, to);
    } catch (failure) {
      await unlink(to).catch(() => undefined); // The failure above is what counts.
      throw failure;
    }
  }
}
