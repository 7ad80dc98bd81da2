/** Tests mirror src/: src/a/b.ts is tested by test/a/b.test.ts. */
import path from "node:path";

import ts from "typescript";

import { descendants, type SourceFile } from "./source.ts";

/** Files of src/ that run code and have no test of the same path. Private files are tested through their folder's. */
export function checkMirror(files: readonly SourceFile[]): string[] {
  const paths = new Set(files.map((file) => file.path));
  return files
    .filter((file) => file.path.startsWith("src/") && !path.posix.basename(file.path).startsWith("_"))
    .filter((file) => hasCode(file.ast))
    .map((file) => ({ file, test: file.path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts") }))
    .filter(({ test }) => !paths.has(test))
    .map(({ file, test }) => `${file.path}: has no test; expected ${test}`);
}

/** False where there are only types and constants: no function, no class, nothing that runs but initialisers. */
function hasCode(ast: ts.SourceFile): boolean {
  const isPassive = (statement: ts.Statement): boolean =>
    ts.isImportDeclaration(statement) ||
    ts.isExportDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isVariableStatement(statement);
  if (!ast.statements.every(isPassive)) return true;
  return [...descendants(ast)].some(
    (node) => (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) || ts.isClassLike(node),
  );
}
