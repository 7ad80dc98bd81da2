/** Source files as the checks see them: text, syntax tree, imports and exports. */
import path from "node:path";

import ts from "typescript";

/** A text file of the repository; `path` is relative to its top, with `/`. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** One import, re-export, dynamic import or require. */
export interface Import {
  readonly specifier: string;
  /** The imported file where the specifier is relative. */
  readonly target: string | undefined;
  /** The names as the target exports them; `undefined` where all of them may be used. */
  readonly names: readonly string[] | undefined;
  readonly isTypeOnly: boolean;
  readonly line: number;
}

/** A parsed TypeScript or JavaScript file. */
export interface SourceFile extends TextFile {
  readonly ast: ts.SourceFile;
  readonly imports: readonly Import[];
}

/** Parses one file. */
export function parseSource(filePath: string, text: string): SourceFile {
  const ast = ts.createSourceFile(filePath, text, ts.ScriptTarget.ES2023, true, ts.ScriptKind.TS);
  const imports: Import[] = [];
  for (const node of descendants(ast)) {
    const found = readImport(node, ast);
    if (found !== undefined) {
      const target = resolveImport(filePath, found.specifier);
      imports.push({ ...found, target, line: lineOf(ast, node) });
    }
  }
  return { path: filePath, text, ast, imports };
}

/** The parsed sources among `files`: src/, test/ and bin/. */
export function parseSources(files: readonly TextFile[]): SourceFile[] {
  return files
    .filter((file) => /^(src|test)\/.*\.ts$|^bin\//.test(file.path))
    .map((file) => parseSource(file.path, file.text));
}

/**
 * The text with comments and literals as spaces, and that with all but comments as spaces; lines are kept in both.
 */
export function splitText({ ast, text }: SourceFile): { code: string; comments: string } {
  let code = "";
  let comments = "";
  let position = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isJSDoc(node)) return;
    const children = node.getChildren(ast).filter((child) => !ts.isJSDoc(child));
    if (children.length > 0) {
      children.forEach(visit);
      return;
    }
    const start = Math.max(node.getStart(ast), position);
    const between = text.slice(position, start);
    const token = text.slice(start, node.end);
    code += blank(between) + (LITERALS.has(node.kind) ? blank(token) : token);
    comments += between + blank(token);
    position = Math.max(node.end, start);
  };
  visit(ast);
  return { code, comments };
}

/** Every node below `node`, in source order. */
export function* descendants(node: ts.Node): Generator<ts.Node> {
  const children: ts.Node[] = [];
  ts.forEachChild(node, (child) => {
    children.push(child);
  });
  for (const child of children) {
    yield child;
    yield* descendants(child);
  }
}

/** The line of `node`, counted from 1. */
export function lineOf(ast: ts.SourceFile, node: ts.Node): number {
  return ast.getLineAndCharacterOfPosition(node.getStart(ast)).line + 1;
}

/** The folder of src/ that a file is in; `index` for src/index.ts; `undefined` outside src/. */
export function storeyOf(filePath: string): string | undefined {
  const parts = filePath.split("/");
  if (parts[0] !== "src") return undefined;
  return parts.length > 2 ? parts[1] : path.posix.basename(filePath, ".ts");
}

function resolveImport(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const target = path.posix.join(path.posix.dirname(from), specifier);
  // What bin/ runs is built from src/ (scripts/build.mjs).
  return target.replace(/^dist\/program\/(.*)\.js$/, "src/cli/$1.ts");
}

type FoundImport = Pick<Import, "specifier" | "names" | "isTypeOnly">;

function readImport(node: ts.Node, ast: ts.SourceFile): FoundImport | undefined {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, ...readClause(node.importClause, ast) };
  }
  if (ts.isExportDeclaration(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    const clause = node.exportClause;
    const names = clause && ts.isNamedExports(clause) ? clause.elements.map(sourceName) : undefined;
    return { specifier: node.moduleSpecifier.text, names, isTypeOnly: node.isTypeOnly };
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    const literal = node.argument.literal;
    if (ts.isStringLiteral(literal)) return { specifier: literal.text, names: undefined, isTypeOnly: true };
  }
  if (ts.isCallExpression(node) && LOADERS.has(node.expression.getText(ast))) {
    const literal = node.arguments[0];
    if (literal && ts.isStringLiteral(literal)) {
      return { specifier: literal.text, names: undefined, isTypeOnly: false };
    }
  }
  return undefined;
}

/** What takes a specifier; the last two are those of bin/. */
const LOADERS: ReadonlySet<string> = new Set(["import", "require", "require.resolve"]);

function readClause(clause: ts.ImportClause | undefined, ast: ts.SourceFile): Omit<FoundImport, "specifier"> {
  if (clause === undefined) return { names: [], isTypeOnly: false };
  const bindings = clause.namedBindings;
  const isTypeOnly = clause.phaseModifier === ts.SyntaxKind.TypeKeyword;
  if (bindings && ts.isNamespaceImport(bindings)) {
    return { names: namesThrough(bindings.name.text, ast), isTypeOnly };
  }
  const names = bindings ? bindings.elements.map(sourceName) : [];
  const areAllTypes = bindings !== undefined && bindings.elements.every((element) => element.isTypeOnly);
  return {
    names: clause.name ? ["default", ...names] : names,
    isTypeOnly: isTypeOnly || (areAllTypes && !clause.name),
  };
}

function sourceName(element: ts.ImportSpecifier | ts.ExportSpecifier): string {
  return (element.propertyName ?? element.name).text;
}

/** The names used as `space.name`; `undefined` where `space` is used in another way. */
function namesThrough(space: string, ast: ts.SourceFile): string[] | undefined {
  const names: string[] = [];
  for (const node of descendants(ast)) {
    if (!ts.isIdentifier(node) || node.text !== space || ts.isNamespaceImport(node.parent)) continue;
    const parent = node.parent;
    if (ts.isPropertyAccessExpression(parent) && parent.expression === node) names.push(parent.name.text);
    else if (ts.isQualifiedName(parent) && parent.left === node) names.push(parent.right.text);
    else return undefined;
  }
  return names;
}

const LITERALS: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.StringLiteral,
  ts.SyntaxKind.NoSubstitutionTemplateLiteral,
  ts.SyntaxKind.TemplateHead,
  ts.SyntaxKind.TemplateMiddle,
  ts.SyntaxKind.TemplateTail,
  ts.SyntaxKind.RegularExpressionLiteral,
]);

function blank(text: string): string {
  return text.replace(/[^\n]/g, " ");
}
