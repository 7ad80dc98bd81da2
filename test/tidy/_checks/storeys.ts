/** The storey table: which folder of src/ imports which. */
import { storeyOf, type SourceFile } from "./source.ts";
import type { Storey } from "../storeys.ts";

/** Imports that the table does not allow, and files at a place that it does not know. */
export function checkStoreys(
  files: readonly SourceFile[],
  table: Readonly<Record<string, Storey>>,
): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const from = storeyOf(file.path);
    if (from === undefined) continue;
    const storey = table[from];
    const isAtRoot = file.path.split("/").length === 2;
    if (storey === undefined || isAtRoot !== (from === "index")) {
      problems.push(`${file.path}: no storey has this file (the root of src/ holds index.ts alone)`);
      continue;
    }
    for (const { target, isTypeOnly, line } of file.imports) {
      if (target === undefined) continue;
      const to = storeyOf(target);
      const isAllowed =
        to === from ||
        (to !== undefined &&
          (storey.imports.includes(to) || (isTypeOnly && (storey.importsTypesOf ?? []).includes(to))));
      if (!isAllowed) {
        problems.push(
          `${file.path}:${line}: ${from} must not import ${to ?? "what is outside src/"} (${target})`,
        );
      }
    }
  }
  return problems;
}

/** Imports of crypto/ from a folder that may not hold keys. */
export function checkKeyHolders(files: readonly SourceFile[], holders: readonly string[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const from = storeyOf(file.path);
    if (from === undefined || from === "crypto" || holders.includes(from)) continue;
    for (const { target, line } of file.imports) {
      if (target !== undefined && storeyOf(target) === "crypto") {
        problems.push(`${file.path}:${line}: only ${holders.join(", ")} import crypto`);
      }
    }
  }
  return problems;
}

/** Faults of the table itself: unknown folders, an import of a higher storey, of the roof, or in a circle. */
export function checkTable(table: Readonly<Record<string, Storey>>): string[] {
  const problems: string[] = [];
  for (const [folder, storey] of Object.entries(table)) {
    for (const other of [...storey.imports, ...(storey.importsTypesOf ?? [])]) {
      const target = table[other];
      if (target === undefined) problems.push(`${folder} imports ${other}, which is not in the table`);
      else if (target.storey > storey.storey) problems.push(`${folder} imports ${other}, a higher storey`);
      else if (other === "cli" || other === "index") problems.push(`${folder} imports ${other}, the roof`);
      else if ([...target.imports, ...(target.importsTypesOf ?? [])].includes(folder)) {
        problems.push(`${folder} and ${other} import each other`);
      }
    }
  }
  return problems;
}
