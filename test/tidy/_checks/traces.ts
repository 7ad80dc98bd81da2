/** The repository says nothing of the machine it was written on. */
import type { TextFile } from "./source.ts";

const TRACES: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w.~}-])\/(?:work|root|home\/[a-z_][\w-]*|Users\/\w+)(?:\/|$)/gm, "a path of one machine"],
  [/\bregistry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|"resolved":\s*"http/g, "a package registry's host"],
  [
    /\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b/g,
    "an address of a private network",
  ],
];

/** Lines with paths, hosts or addresses that belong to one machine. */
export function checkTraces(files: readonly TextFile[]): string[] {
  return files.flatMap((file) =>
    TRACES.flatMap(([pattern, what]) =>
      [...file.text.matchAll(pattern)].map((match) => {
        const line = file.text.slice(0, match.index).split("\n").length;
        return `${file.path}:${line}: ${match[0]}: ${what}`;
      }),
    ),
  );
}
