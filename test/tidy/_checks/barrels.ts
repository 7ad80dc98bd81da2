/** No barrels: the one file that only re-exports is src/index.ts. */
import ts from "typescript";

import type { SourceFile } from "./source.ts";

/** Files that declare nothing and export something. */
export function checkBarrels(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => file.path.startsWith("src/") && file.path !== "src/index.ts" && isBarrel(file.ast))
    .map((file) => `${file.path}: only re-exports; import from where the names are declared`);
}

function isBarrel(ast: ts.SourceFile): boolean {
  return (
    ast.statements.some((statement) => ts.isExportDeclaration(statement)) &&
    ast.statements.every(
      (statement) => ts.isExportDeclaration(statement) || ts.isImportDeclaration(statement),
    )
  );
}
