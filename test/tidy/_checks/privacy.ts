/** `_name` is private to the folder it lies in. */
import path from "node:path";

import type { SourceFile } from "./source.ts";

/** Imports of a private file or folder from outside its folder; the tests of src/a are those in test/a. */
export function checkPrivacy(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const mirrored = file.path.replace(/^test\//, "src/");
    for (const { target, line } of file.imports) {
      const owner = target === undefined ? undefined : ownerOf(target);
      if (owner === undefined) continue;
      const isInside = [file.path, mirrored].some((place) => place.startsWith(`${owner}/`));
      if (!isInside) problems.push(`${file.path}:${line}: ${target ?? ""} is private to ${owner}`);
    }
  }
  return problems;
}

function ownerOf(target: string): string | undefined {
  const parts = target.split("/");
  const index = parts.findIndex((part) => part.startsWith("_"));
  return index < 0 ? undefined : path.posix.join(...parts.slice(0, index));
}
