/** Every export of src/ is used in src/ or bin/. */
import ts from "typescript";

import { descendants, lineOf, type SourceFile } from "./source.ts";

interface Export {
  readonly name: string;
  readonly isType: boolean;
  readonly line: number;
}

/**
 * Exports that nobody imports. A type is also used where its own file uses it: it is then part of what another
 * export takes or gives. `testOnly` lists `file#name` that tests alone may use, with reasons.
 */
export function checkDeadExports(
  files: readonly SourceFile[],
  testOnly: Readonly<Record<string, string>>,
): string[] {
  const users = usersByExport(files);
  const isUsed = (file: string, name: string, by: RegExp): boolean =>
    [...(users.get(`${file}#${name}`) ?? []), ...(users.get(`${file}#*`) ?? [])].some((user) =>
      by.test(user),
    );
  const problems: string[] = [];
  const needed = new Set<string>();
  for (const file of files) {
    if (!file.path.startsWith("src/") || file.path === "src/index.ts") continue;
    for (const { name, isType, line } of exportsOf(file.ast)) {
      if (isUsed(file.path, name, /^(src|bin)\//) || (isType && isUsedInFile(file.ast, name))) continue;
      const key = `${file.path}#${name}`;
      const isTested = isUsed(file.path, name, /^test\//);
      if (isTested && testOnly[key] !== undefined) needed.add(key);
      else
        problems.push(
          `${file.path}:${line}: ${name} is exported, but ${isTested ? "only tests use it" : "unused"}`,
        );
    }
  }
  for (const key of Object.keys(testOnly)) {
    if (!needed.has(key)) problems.push(`${key}: is listed as used by tests only, and is not`);
  }
  return problems;
}

function usersByExport(files: readonly SourceFile[]): Map<string, Set<string>> {
  const users = new Map<string, Set<string>>();
  for (const file of files) {
    for (const { target, names } of file.imports) {
      if (target === undefined) continue;
      for (const name of names ?? ["*"]) {
        const key = `${target}#${name}`;
        users.set(key, (users.get(key) ?? new Set()).add(file.path));
      }
    }
  }
  return users;
}

function exportsOf(ast: ts.SourceFile): Export[] {
  const found: Export[] = [];
  for (const statement of ast.statements) {
    if (
      ts.isExportDeclaration(statement) &&
      statement.exportClause &&
      ts.isNamedExports(statement.exportClause)
    ) {
      for (const element of statement.exportClause.elements) {
        found.push({ name: element.name.text, isType: statement.isTypeOnly, line: lineOf(ast, element) });
      }
    }
    if (!isExported(statement)) continue;
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) {
        if (ts.isIdentifier(name)) found.push({ name: name.text, isType: false, line: lineOf(ast, name) });
      }
    } else if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement)) {
      found.push({ name: statement.name.text, isType: true, line: lineOf(ast, statement) });
    } else if ((ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name) {
      found.push({ name: statement.name.text, isType: false, line: lineOf(ast, statement) });
    }
  }
  return found;
}

function isExported(statement: ts.Statement): boolean {
  const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
  return modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) ?? false;
}

function isUsedInFile(ast: ts.SourceFile, name: string): boolean {
  let count = 0;
  for (const node of descendants(ast)) if (ts.isIdentifier(node) && node.text === name) count++;
  return count > 1;
}
