/** Small stacks of layers and their trees as tables: what is written by hand is short enough to be checked by reading. */
import { createHash } from "node:crypto";

import type { ExpectedEntry } from "./judged-tree.ts";
import type { ModelEntry } from "./model-layers.ts";

/**
 * An entry: kind, path, and what follows: a file's body, the target of a symlink (`l`) or hard link (`h`), a device's
 * numbers (`c`, `b`). Kinds are those of `ls -l`, with `f` for files, `p` for fifos and `w` for whiteouts.
 */
export type Row = readonly [kind: "d" | "f" | "l" | "h" | "c" | "b" | "p" | "w", path: string, rest?: string];

/**
 * A tree by path: `d`, `d implied`, `f BODY`, `l TARGET`, `c 1:3`, `b 8:0`, `p`. Paths of one inode end in the same
 * ` #N`. The root directory is implied unless it is given.
 */
export type TreeRows = Readonly<Record<string, string>>;

/** A stack of layers and the tree that it gives. */
export interface StackCase {
  readonly name: string;
  readonly layers: readonly (readonly Row[])[];
  readonly tree: TreeRows;
  /** Why umoci gives another tree, or none. */
  readonly umoci?: string;
}

const TYPES = {
  d: "dir",
  f: "file",
  l: "symlink",
  h: "hardlink",
  c: "char",
  b: "block",
  p: "fifo",
  w: "file",
} as const;

/** The rows as entries; every entry of a stack has an mtime of its own, so that one cannot pass for another. */
export function entriesOf(rows: readonly Row[], layerIndex: number): ModelEntry[] {
  return rows.map(([kind, path, rest = ""], index) => ({
    path,
    type: TYPES[kind],
    mtime: 1000 * (layerIndex + 1) + index,
    ...(kind === "f" && { body: rest }),
    ...((kind === "l" || kind === "h") && { target: rest }),
    ...((kind === "c" || kind === "b") && { rdev: numbersOf(rest) }),
  }));
}

/** The tree that is expected, but for modes, owners and times. */
export function expectedTree(rows: TreeRows): Pick<ExpectedEntry, "path" | "type">[] {
  const all = rows["/"] === undefined ? { "/": "d implied", ...rows } : rows;
  return Object.entries(all).map(([path, row]) => {
    const [, text = "", link] = /^(.*?)(?: #(\d+))?$/s.exec(row) ?? [];
    const kind = text.slice(0, 1) as keyof typeof TYPES;
    const rest = text.slice(2);
    return {
      path,
      type: TYPES[kind] as ExpectedEntry["type"],
      ...(link !== undefined && { link: Number(link) }),
      ...(kind === "f" && {
        size: rest.length,
        sha256: createHash("sha256").update(rest, "latin1").digest("hex"),
      }),
      ...(kind === "l" && { target: rest }),
      ...((kind === "c" || kind === "b") && { rdev: numbersOf(rest) }),
      ...(rest === "implied" && { implied: true }),
    };
  });
}

function numbersOf(text: string): readonly [number, number] {
  const [major = 0, minor = 0] = text.split(":").map(Number);
  return [major, minor];
}
