/**
 * What a path alone says of a file: who writes it, and how often (docs/format/disk-image.md, "State files" and "Slots"). Such
 * files lie apart, so that their changes leave the chunks of others alone.
 */
import type { ByteString } from "../base/bytes.ts";

/** Deeper in `var` lie the contents of packages, too. */
const STATE_NAMES_MAX = 4;
/** What the versions of all dependencies are kept in: `package-lock.json`, `pnpm-lock.yaml`, `Cargo.lock`. */
const LOCK = "lock";
const LOCK_ENDS = [".lock", "-lock.json", "-lock.yaml"];
/** Where Python keeps what it compiled. */
const COMPILED_NAME = "__pycache__";

/** A state file: a register, cache, log or lock file, which every run of a package manager writes anew. */
export function isStatePath(path: ByteString): boolean {
  if (beginsWithName(path, "var") && namesOf(path).length <= STATE_NAMES_MAX) return true;
  // Cheap test first: most paths do not have it.
  return path.includes(LOCK) && LOCK_ENDS.some((end) => namesOf(path).at(-1)?.endsWith(end));
}

/** A generated file: one that an installation writes, rather than one that a package has; its time is the build's. */
export function isGeneratedPath(path: ByteString): boolean {
  if (beginsWithName(path, "etc") || beginsWithName(path, "var")) return true;
  // Cheap test first: most paths do not have it.
  return path.includes(COMPILED_NAME) && namesOf(path).includes(COMPILED_NAME);
}

/** The names of a path as it is written: `..` is one like others. */
export function namesOf(path: ByteString): readonly string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** Without lists: nearly every path of a layer is asked for this. */
function beginsWithName(path: ByteString, name: string): boolean {
  let at = 0;
  while (path[at] === "/" || (path[at] === "." && path[at + 1] === "/")) at++;
  const end = at + name.length;
  return path.startsWith(name, at) && (end === path.length || path[end] === "/");
}
