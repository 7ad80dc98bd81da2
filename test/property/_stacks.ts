/** Random stacks of layers in which names collide all the time. */
import fc from "fast-check";

import { ModelRefusal, modelTree, type ModelEntry } from "../support/model-layers.ts";

export type Layer = readonly ModelEntry[];

/** What a stack may hold. */
export interface StackOptions {
  readonly hasSymlinks: boolean;
  readonly hasHardlinks: boolean;
  /** Spellings such as `./a//b/../c/`. */
  readonly hasOddPaths: boolean;
}

const NAMES = ["a", "b", "c"] as const;
const name = fc.constantFrom(...NAMES);
const plainPath = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));

const oddPath = fc.oneof(
  { weight: 6, arbitrary: plainPath },
  { weight: 1, arbitrary: plainPath.map((path) => `./${path}`) },
  { weight: 1, arbitrary: plainPath.map((path) => `/${path}`) },
  { weight: 1, arbitrary: plainPath.map((path) => `${path}/`) },
  { weight: 1, arbitrary: plainPath.map((path) => `${path}//./c`) },
  { weight: 1, arbitrary: plainPath.map((path) => `${path}/../b`) },
);

const target = fc.oneof(
  plainPath,
  plainPath.map((path) => `/${path}`),
  fc.constantFrom(".", "..", "/", "../a", "../../b", "./c/", "a/../b", "../../../c"),
);

const attributes = fc.record({
  mode: fc.constantFrom(0o644, 0o755, 0o4711, 0o1777, 0),
  uid: fc.constantFrom(0, 1, 65_534, 4_000_000_000),
  gid: fc.constantFrom(0, 7),
  mtime: fc.integer({ min: 1, max: 1_700_000_000 }),
  xattrs: fc.constantFrom<Record<string, string>>(
    {},
    {},
    { "user.a": "1" },
    { "user.a": "", "user.b": "\0\xff" },
  ),
});

function entry({ hasSymlinks, hasHardlinks, hasOddPaths }: StackOptions): fc.Arbitrary<ModelEntry> {
  const path = hasOddPaths ? oddPath : plainPath;
  const whiteout = fc.oneof(
    { weight: 3, arbitrary: name.map((hidden) => `.wh.${hidden}`) },
    { weight: 2, arbitrary: fc.constant(".wh..wh..opq") },
    { weight: 1, arbitrary: fc.constant(".wh..wh.plnk/x") },
  );
  const whiteoutPath = fc
    .tuple(fc.array(name, { maxLength: 2 }), whiteout)
    .map(([names, last]): ModelEntry => ({ path: [...names, last].join("/"), type: "file" }));
  // AUFS has it in the root directory only.
  const aside = fc.tuple(attributes, fc.string({ maxLength: 3 })).map(([fields, body]): ModelEntry => ({
    ...{ path: ".wh..wh.plnk/x", type: "file", body: ascii(body) },
    ...fields,
  }));
  const made = (
    part: fc.Arbitrary<Partial<ModelEntry> & Pick<ModelEntry, "type">>,
  ): fc.Arbitrary<ModelEntry> =>
    fc.tuple(path, attributes, part).map(([place, fields, rest]) => ({ path: place, ...fields, ...rest }));
  return fc.oneof(
    {
      weight: 5,
      arbitrary: made(fc.string({ maxLength: 3 }).map((body) => ({ type: "file", body: ascii(body) }))),
    },
    { weight: 5, arbitrary: made(fc.constant({ type: "dir" })) },
    { weight: 4, arbitrary: whiteoutPath },
    { weight: hasHardlinks ? 1 : 0, arbitrary: aside },
    { weight: 1, arbitrary: made(fc.constant({ type: "fifo", xattrs: {} })) },
    { weight: 1, arbitrary: made(fc.constant({ type: "char", rdev: [1, 3], xattrs: {} } as const)) },
    {
      weight: hasSymlinks ? 3 : 0,
      arbitrary: made(target.map((to) => ({ type: "symlink", target: to, xattrs: {} }))),
    },
    {
      weight: hasHardlinks ? 6 : 0,
      arbitrary: made(path.map((to) => ({ type: "hardlink", target: to, xattrs: {} }))),
    },
    {
      weight: hasHardlinks ? 1 : 0,
      arbitrary: made(fc.constant({ type: "hardlink", target: ".wh..wh.plnk/x", xattrs: {} })),
    },
    {
      weight: 1,
      arbitrary: attributes.map((fields): ModelEntry => ({ path: "./", type: "dir", ...fields })),
    },
  );
}

function ascii(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?");
}

/** Two to four layers. */
export function stacks(options: StackOptions): fc.Arbitrary<readonly Layer[]> {
  const entryCountMax = options.hasHardlinks ? 10 : 9;
  const layer = fc.array(entry(options), { minLength: 1, maxLength: entryCountMax });
  return fc.array(layer, { minLength: 2, maxLength: 4 });
}

/** A stack without the entries that the model refuses, and each stack that ends in such an entry. */
export interface Pruned {
  readonly layers: readonly Layer[];
  readonly refused: readonly { readonly layers: readonly Layer[]; readonly code: string }[];
}

/** Takes out, from the front, each entry with which the model refuses the stack so far; hard links get a target first. */
export function prune(layers: readonly Layer[]): Pruned {
  const kept: Layer[] = [];
  const refused: { layers: readonly Layer[]; code: string }[] = [];
  const tryEntry = (taken: Layer, next: ModelEntry): boolean => {
    const tried = [...kept, [...taken, next]];
    try {
      modelTree(tried);
      return true;
    } catch (error) {
      if (!(error instanceof ModelRefusal)) throw error;
      refused.push({ layers: tried, code: error.code });
      return false;
    }
  };
  for (const layer of layers) {
    let taken: Layer = [];
    for (const next of layer) {
      if (tryEntry(taken, next)) {
        taken = [...taken, next];
      } else if (next.type === "hardlink") {
        const mended = { ...next, target: anyFile([...kept, taken], next.mtime ?? 0) };
        if (tryEntry(taken, mended)) taken = [...taken, mended];
      }
    }
    kept.push(taken);
  }
  return { layers: kept, refused };
}

/** Most drawn targets do not exist: the path of something that does, chosen by a number. */
function anyFile(layers: readonly Layer[], drawn: number): string {
  const files = modelTree(layers).filter(({ type }) => type !== "dir");
  return files[drawn % Math.max(1, files.length)]?.path ?? "none";
}
