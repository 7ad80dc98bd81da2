/** Files that touch the world say so in their first line: `// ⚡ uses: file system, time`. */
import ts from "typescript";

import { descendants, type SourceFile } from "./source.ts";

/** What a file can use of the world. */
export const EFFECTS = ["Buffer", "file system", "network", "time", "chance", "process", "worker"] as const;
type Effect = (typeof EFFECTS)[number];

const MODULES: readonly (readonly [RegExp, Effect])[] = [
  [/^node:fs(\/|$)/, "file system"],
  [/^node:(net|http|https|http2|tls|dns|dgram)(\/|$)/, "network"],
  [/^node:timers(\/|$)|^node:perf_hooks$/, "time"],
  [/^node:(os|process|child_process|cluster|tty|readline|v8)(\/|$)/, "process"],
  [/^node:worker_threads$/, "worker"],
  [/^node:buffer$/, "Buffer"],
];

/** Names that mean an effect wherever they stand. */
const NAMES: ReadonlyMap<string, Effect> = new Map<string, Effect>([
  ["Buffer", "Buffer"],
  ["setTimeout", "time"],
  ["setInterval", "time"],
  ["setImmediate", "time"],
  ["randomBytes", "chance"],
  ["randomInt", "chance"],
  ["randomUUID", "chance"],
  ["randomFillSync", "chance"],
  ["getRandomValues", "chance"],
  ["MessageChannel", "worker"],
]);

/** Names that mean an effect as the object of a property access. */
const OBJECTS: ReadonlyMap<string, Effect> = new Map<string, Effect>([
  ["process", "process"],
  ["Date", "time"],
  ["performance", "time"],
]);

/** Files of src/ whose first line is not exactly what they use. */
export function checkEffects(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (!file.path.startsWith("src/")) continue;
    const used = effectsOf(file);
    const line = file.text.split("\n", 1)[0] ?? "";
    const stated = /^\/\/ ⚡ uses: (.+)$/.exec(line)?.[1]?.split(", ") ?? [];
    const expected = EFFECTS.filter((effect) => used.has(effect));
    const isSame = stated.length === expected.length && expected.every((effect) => stated.includes(effect));
    const hasMark = line.includes("⚡");
    if (isSame && (hasMark || expected.length === 0) && !(hasMark && expected.length === 0)) continue;
    const wanted = expected.length === 0 ? "no ⚡ line" : `"// ⚡ uses: ${expected.join(", ")}"`;
    problems.push(`${file.path}:1: expected ${wanted}, found ${JSON.stringify(line.slice(0, 80))}`);
  }
  return problems;
}

function effectsOf(file: SourceFile): Set<Effect> {
  const used = new Set<Effect>();
  for (const { specifier } of file.imports) {
    for (const [pattern, effect] of MODULES) if (pattern.test(specifier)) used.add(effect);
  }
  for (const node of descendants(file.ast)) {
    const effect = effectOf(node);
    if (effect !== undefined) used.add(effect);
  }
  return used;
}

function effectOf(node: ts.Node): Effect | undefined {
  if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
    const access = `${node.expression.text}.${node.name.text}`;
    if (access === "Math.random") return "chance";
    if (access === "AbortSignal.timeout") return "time";
    const effect = OBJECTS.get(node.expression.text);
    if (effect !== undefined) return effect;
  }
  if (ts.isNewExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "Date") {
    return "time";
  }
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "fetch") {
    return "network";
  }
  return ts.isIdentifier(node) ? NAMES.get(node.text) : undefined;
}
