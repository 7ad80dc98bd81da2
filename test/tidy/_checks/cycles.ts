/** No cycle of imports between files, types included. */
import type { SourceFile } from "./source.ts";

/** Each import that closes a circle, as the circle. */
export function checkCycles(files: readonly SourceFile[]): string[] {
  const graph = new Map(
    files.map((file) => [
      file.path,
      file.imports.flatMap(({ target }) => (target === undefined ? [] : [target])),
    ]),
  );
  const problems: string[] = [];
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (file: string): void => {
    const start = trail.indexOf(file);
    if (start >= 0) {
      problems.push(`cycle: ${[...trail.slice(start), file].join(" -> ")}`);
      return;
    }
    if (done.has(file)) return;
    trail.push(file);
    for (const target of graph.get(file) ?? []) visit(target);
    trail.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return problems;
}
