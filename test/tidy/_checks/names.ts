/** Words that the glossary advises against do not occur in names. */
import path from "node:path";

import ts from "typescript";

import { descendants, lineOf, type SourceFile } from "./source.ts";
import type { AllowedWord } from "../exemptions.ts";

/** Words with their replacement (docs/glossary.md, "Words we avoid"). */
const ANTI_TERMS: ReadonlyMap<string, string> = new Map([
  ["blob", "chunk or layer"],
  ["data", "what it is: bytes, body, text …"],
  ["info", "what it tells"],
  ["manager", "what it does"],
  ["util", "the idea of the file"],
  ["utils", "the idea of the file"],
  ["helper", "what it does"],
  ["helpers", "what they do"],
  ["hash", "digest; hasher for what computes one"],
  ["snapshot", "copy or disk image"],
  ["volume", "disk image or device"],
  ["volumes", "disk images or devices"],
  ["pack", "write or encode"],
  ["slice", "part or piece"],
  ["restore", "export"],
]);

/** Two words that together are a term of the glossary or of a specification. */
const COMPOUNDS = /\b(data (key|shard)s?|hash (seed|version)s?)\b/g;

/** Names of files and of what src/ declares that hold an anti-term which `allowed` does not excuse. */
export function checkNames(files: readonly SourceFile[], allowed: readonly AllowedWord[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (!file.path.startsWith("src/")) continue;
    const base = path.posix.basename(file.path, ".ts");
    const names = [{ name: base, line: 1, isVerb: false }, ...declaredNames(file.ast)];
    for (const { name, line, isVerb } of names) {
      for (const word of antiTermsOf(name, isVerb)) {
        if (allowed.some((entry) => entry.word === word && file.path.startsWith(entry.where))) continue;
        problems.push(`${file.path}:${line}: ${name}: for "${word}" say ${ANTI_TERMS.get(word) ?? ""}`);
      }
    }
  }
  return problems;
}

interface DeclaredName {
  readonly name: string;
  readonly line: number;
  /** Functions are verbs: to hash and to slice are fine things to do. */
  readonly isVerb: boolean;
}

function declaredNames(ast: ts.SourceFile): DeclaredName[] {
  const found: DeclaredName[] = [];
  for (const node of descendants(ast)) {
    if (!isDeclaration(node)) continue;
    const { name } = node;
    if (name === undefined || !(ts.isIdentifier(name) || ts.isPrivateIdentifier(name))) continue;
    found.push({ name: name.text, line: lineOf(ast, name), isVerb: isFunction(node) });
  }
  return found;
}

function isFunction(node: ts.Node): boolean {
  return ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node) || ts.isMethodSignature(node);
}

function isDeclaration(node: ts.Node): node is ts.NamedDeclaration {
  return (
    isFunction(node) ||
    ts.isVariableDeclaration(node) ||
    ts.isParameter(node) ||
    ts.isBindingElement(node) ||
    ts.isClassLike(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isPropertyDeclaration(node) ||
    ts.isPropertySignature(node)
  );
}

function antiTermsOf(name: string, isVerb: boolean): string[] {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/[^A-Za-z0-9]+/g, " ")
    .trim()
    .toLowerCase()
    .replace(COMPOUNDS, "")
    .split(" ");
  return words.filter((word, index) => ANTI_TERMS.has(word) && !(isVerb && index === 0));
}
