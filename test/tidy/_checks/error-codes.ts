/** Every error code is documented in docs/cli.md, with its kind, and used. */
import ts from "typescript";

import { descendants, type SourceFile } from "./source.ts";

const ERROR_FILE = "src/base/error.ts";

/**
 * Codes that no table of docs/cli.md names together with their kind, codes in those tables that do not exist, and
 * codes that nothing throws. A table of codes is one whose head has a cell with the word "code".
 */
export function checkErrorCodes(files: readonly SourceFile[], cliPage: string | undefined): string[] {
  const errorFile = files.find((file) => file.path === ERROR_FILE);
  if (errorFile === undefined) return [`${ERROR_FILE}: not there`];
  const kinds = readKinds(errorFile.ast);
  if (kinds.size === 0) return [`${ERROR_FILE}: no codes found in ERROR_KINDS`];
  const problems: string[] = [];
  const used = new Set(files.filter(isUser).flatMap((file) => stringsOf(file.ast)));
  for (const code of kinds.keys()) {
    if (!used.has(code)) problems.push(`${ERROR_FILE}: nothing in src/ uses ${code}`);
  }
  if (cliPage === undefined) return [...problems, "docs/cli.md: not there; it has to list the error codes"];
  const rows = codeRows(cliPage);
  for (const [code, kind] of kinds) {
    const row = rows.find((cells) => cells.some((cell) => wordsOf(cell).includes(code)));
    if (row === undefined) problems.push(`docs/cli.md: no row of a table of codes has ${code}`);
    else if (!row.some((cell) => cell.replaceAll("`", "") === kind)) {
      problems.push(`docs/cli.md: the row of ${code} has no cell "${kind}", its kind`);
    }
  }
  for (const word of rows.flat().flatMap(wordsOf)) {
    if (!kinds.has(word)) problems.push(`docs/cli.md: ${word} is not in ${ERROR_FILE}`);
  }
  return problems;
}

function isUser(file: SourceFile): boolean {
  return file.path.startsWith("src/") && file.path !== ERROR_FILE;
}

function readKinds(ast: ts.SourceFile): Map<string, string> {
  const kinds = new Map<string, string>();
  for (const node of descendants(ast)) {
    if (!ts.isVariableDeclaration(node) || !ts.isIdentifier(node.name) || node.name.text !== "ERROR_KINDS")
      continue;
    for (const property of descendants(node)) {
      if (!ts.isPropertyAssignment(property) || !ts.isIdentifier(property.name)) continue;
      if (ts.isStringLiteral(property.initializer)) kinds.set(property.name.text, property.initializer.text);
    }
  }
  return kinds;
}

function stringsOf(ast: ts.SourceFile): string[] {
  return [...descendants(ast)].flatMap((node) => (ts.isStringLiteral(node) ? [node.text] : []));
}

function codeRows(page: string): string[][] {
  const rows: string[][] = [];
  let isCodeTable: boolean | undefined;
  for (const line of page.split("\n")) {
    if (!line.startsWith("|")) {
      isCodeTable = undefined;
      continue;
    }
    const cells = line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (isCodeTable === undefined) isCodeTable = cells.some((cell) => /\bcodes?\b/i.test(cell));
    else if (isCodeTable) rows.push(cells);
  }
  return rows;
}

function wordsOf(cell: string): string[] {
  return [...cell.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)`/g)].map((match) => match[1] ?? "");
}
