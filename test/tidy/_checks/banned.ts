/** Tokens that have a better replacement. */
import ts from "typescript";

import { descendants, lineOf, splitText, type SourceFile } from "./source.ts";

interface BannedToken {
  readonly pattern: RegExp;
  readonly part: "code" | "comments";
  /** Where tests may use it. */
  readonly isSrcOnly?: boolean;
  readonly instead: string;
}

const BANNED: readonly BannedToken[] = [
  { pattern: /\bexport default\b/g, part: "code", instead: "a named export" },
  { pattern: /\benum\s+\w/g, part: "code", instead: "a string union or an `as const` table" },
  { pattern: /\bnamespace\s+\w/g, part: "code", instead: "a file" },
  { pattern: /\.localeCompare\b|\.toLocale\w+|\bIntl\./g, part: "code", instead: "byte order" },
  { pattern: /\bconsole\./g, part: "code", isSrcOnly: true, instead: "the streams that cli/ passes on" },
  { pattern: /\bas\s+any\b/g, part: "code", instead: "a parser that gives the type" },
  {
    pattern: /\bas\s+unknown\s+as\b/g,
    part: "code",
    isSrcOnly: true,
    instead: "a parser that gives the type",
  },
  { pattern: /\.(?:sort|toSorted)\(\s*\)/g, part: "code", instead: "a comparator by byte order or number" },
  { pattern: /@ts-(?:ignore|expect-error|nocheck)\b/g, part: "comments", instead: "a type that fits" },
  { pattern: /\bFIXME\b/g, part: "comments", instead: "the fix" },
  { pattern: /\bTODO\b(?!\(#\d+\))/g, part: "comments", instead: "TODO(#issue)" },
];

/** Uses of a banned token, with what to write instead. */
export function checkBanned(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => [...bannedIn(file), ...nonNullIn(file)]);
}

function bannedIn(file: SourceFile): string[] {
  const problems: string[] = [];
  const parts = splitText(file);
  for (const token of BANNED) {
    if (token.isSrcOnly === true && !file.path.startsWith("src/")) continue;
    for (const match of parts[token.part].matchAll(token.pattern)) {
      const line = file.text.slice(0, match.index).split("\n").length;
      problems.push(`${file.path}:${line}: ${match[0].trim()}: write ${token.instead}`);
    }
  }
  return problems;
}

function nonNullIn(file: SourceFile): string[] {
  if (!file.path.startsWith("src/")) return [];
  const problems: string[] = [];
  for (const node of descendants(file.ast)) {
    const isDefinite =
      (ts.isPropertyDeclaration(node) || ts.isVariableDeclaration(node)) &&
      node.exclamationToken !== undefined;
    if (ts.isNonNullExpression(node) || isDefinite) {
      problems.push(`${file.path}:${lineOf(file.ast, node)}: non-null !: write definite() or a check`);
    }
  }
  return problems;
}
