/** Reads the real repository for the checks. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import type { TextFile } from "./source.ts";

const TOP = path.resolve(import.meta.dirname, "../../..");
const SKIPPED: ReadonlySet<string> = new Set([
  ".git",
  "node_modules",
  "dist",
  "coverage",
  "demo",
  ".vitest",
  ".cache",
  "assembly", // AssemblyScript, which TypeScript's compiler cannot read.
]);
const TEXT_NAMES =
  /(\.(ts|js|mjs|md|json|ya?ml|sh|py|txt|dump|sha256)|(^|\/)(run|lambda-img|LICENSE|\.[a-z]+))$/;

/** Paths of all files, relative to the top, in byte order; what git ignores is left out. */
export function listFiles(): string[] {
  const found: string[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(path.join(TOP, folder), { withFileTypes: true })) {
      if (SKIPPED.has(entry.name)) continue;
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(name);
      else if (entry.isFile()) found.push(name);
    }
  };
  visit("");
  return found.sort((left, right) => (left < right ? -1 : 1));
}

/** The text files among `paths`. */
export function readTexts(paths: readonly string[]): TextFile[] {
  return paths
    .filter((file) => TEXT_NAMES.test(file))
    .map((file) => ({ path: file, text: readFileSync(path.join(TOP, file), "utf8") }));
}
