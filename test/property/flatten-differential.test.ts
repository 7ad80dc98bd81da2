/**
 * Random stacks of layers through src/ and through others: the model in test/support, umoci, and the kernel's overlayfs.
 * FUZZ_RUNS and FUZZ_SEED make it longer or different. What peers do otherwise is excepted here by name, and explained
 * in docs/fidelity.md.
 */
import path from "node:path";

import fc from "fast-check";
import { expect, test } from "vitest";

import { isLambdaImgError } from "../../src/base/error.ts";
import { hiddenRanges, visibleBodies } from "../../src/convert/hide.ts";
import { Flattener } from "../../src/tree/flatten.ts";
import type { LayerEntry } from "../../src/tree/layer-entry.ts";
import {
  compareTrees,
  testWith,
  tools,
  umociTree,
  type Aspect,
  type Judge,
  type JudgedEntry,
} from "../support/judge.ts";
import { outlined } from "../support/layer-entries.ts";
import { flattenTars, makeSegment, plainTree } from "../support/layer-tree.ts";
import { modelTree, tarOfEntries, type ModelEntry } from "../support/model-layers.ts";
import { temporaryDirectory, writeLayout } from "../support/oci-layout.ts";
import { canOverlay, overlayTree } from "./_overlay.ts";
import { prune, stacks, type Layer } from "./_stacks.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? "800");
const SEED = Number(process.env["FUZZ_SEED"] ?? "20231");
/** Stacks for judges that are programs of their own. */
const PEER_RUNS = 30;

const tarsOf = (layers: readonly Layer[]): Uint8Array[] => layers.map(tarOfEntries);

function codeOf(work: () => unknown): string {
  try {
    work();
    return "none";
  } catch (error) {
    if (isLambdaImgError(error)) return error.code;
    throw error;
  }
}

test(`the flattener and the naive model agree on tree and refusals (seed ${SEED}, ${RUNS} runs)`, () => {
  const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  fc.assert(
    fc.property(all, (drawn) => {
      const { layers, refused } = prune(drawn);
      const found = flattenTars(tarsOf(layers));
      expect(compareTrees(modelTree(layers), found, { isImpliedStrict: true })).toEqual([]);
      for (const { layers: bad, code } of refused) expect(codeOf(() => flattenTars(tarsOf(bad)))).toBe(code);
    }),
    { numRuns: RUNS, seed: SEED },
  );
});

test(`the flattener tells of just those layers of which something is hidden (seed ${SEED}, ${RUNS} runs)`, () => {
  const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  let told = 0;
  fc.assert(
    fc.property(all, (drawn) => {
      const layers = tarsOf(prune(drawn).layers).map((tar) => [...makeSegment(tar).entries]);
      const flattener = new Flattener();
      for (const entries of layers) flattener.applyLayer(outlined(entries));
      const shown = visibleBodies(flattener.finish(), layers.length);
      const hidden = layers.flatMap((entries, i) => (hiddenRanges(entries, shown[i]!).size > 0 ? [i] : []));
      expect([...flattener.layersWithHidden].sort((a, b) => a - b)).toEqual(hidden);
      told += hidden.length;
    }),
    { numRuns: RUNS, seed: SEED },
  );
  expect(told).toBeGreaterThan(RUNS / 10);
});

test(`a lowest layer that goes there while it comes makes the same tree (seed ${SEED}, ${RUNS} runs)`, () => {
  const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  const flattened = (layers: readonly Layer[], isAhead: boolean): unknown => {
    const flattener = new Flattener();
    tarsOf(layers).forEach((tar, i) => {
      const onEntry = (entry: LayerEntry): void => {
        flattener.putAhead(entry);
      };
      flattener.applyLayer(makeSegment(tar, tar.length, isAhead && i === 0 ? onEntry : undefined).entries);
    });
    return [plainTree(flattener.finish()), [...flattener.layersWithHidden].sort((a, b) => a - b)];
  };
  fc.assert(
    fc.property(all, (drawn) => {
      const { layers, refused } = prune(drawn);
      expect(flattened(layers, true)).toEqual(flattened(layers, false));
      for (const { layers: bad, code } of refused) expect(codeOf(() => flattened(bad, true))).toBe(code);
    }),
    { numRuns: RUNS, seed: SEED },
  );
});

test("the stacks that are drawn reach what they are for", () => {
  const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
  const pruned = fc.sample(all, { numRuns: 300, seed: SEED }).map(prune);
  const refusals = new Set(pruned.flatMap(({ refused }) => refused.map(({ code }) => code)));
  expect([...refusals].sort(byText)).toEqual(["TREE_INVALID"]);
  const trees = pruned.map(({ layers }) => modelTree(layers));
  const share = (
    has: (tree: readonly { readonly link?: number; readonly type: string }[]) => boolean,
  ): number => trees.filter(has).length / trees.length;
  expect(share((tree) => tree.some(({ link }) => link !== undefined))).toBeGreaterThan(0.1);
  expect(share((tree) => tree.some(({ type }) => type === "symlink"))).toBeGreaterThan(0.2);
  expect(share((tree) => tree.length > 8)).toBeGreaterThan(0.2);
  const linksAside = pruned.filter(({ layers }) =>
    layers.flat().some((entry) => entry.target === ".wh..wh.plnk/x"),
  );
  expect(linksAside.length).toBeGreaterThan(5);
});

const whiteoutsFirst = (layer: Layer): Layer => [
  ...layer.filter(({ path: name }) => name.includes(".wh.")),
  ...layer.filter(({ path: name }) => !name.includes(".wh.")),
];
// docs/fidelity.md, "Attributes": Go's tar reader takes an empty value for a record that is deleted.
const withoutEmptyXattr = (entry: ModelEntry): ModelEntry =>
  entry.xattrs?.["user.a"] === "" ? { ...entry, xattrs: { ...entry.xattrs, "user.a": "z" } } : entry;
// docs/fidelity.md, "Names of AUFS": umoci makes files of them.
const isNoAufs = ({ path: name }: ModelEntry): boolean => !name.includes(".wh..wh.plnk");

testWith(
  ["root", "umoci", "python3"],
  `umoci makes the same tree (seed ${SEED}, ${PEER_RUNS} runs)`,
  async () => {
    const all = stacks({ hasSymlinks: true, hasHardlinks: true, hasOddPaths: true });
    let refusedCount = 0;
    for (const drawn of fc.sample(all, { numRuns: PEER_RUNS, seed: SEED })) {
      // docs/fidelity.md, "Whiteouts come first": umoci goes in the order of the archive.
      const { layers } = prune(
        drawn.map((layer) => whiteoutsFirst(layer).filter(isNoAufs).map(withoutEmptyXattr)),
      );
      const found = await unpackWithUmoci(layers);
      if (found === undefined) refusedCount++;
      else
        expect({ layers, differences: differencesOf(layers, found, ["mtime"]) }).toEqual({
          layers,
          differences: [],
        });
    }
    expect(refusedCount).toBeLessThan(PEER_RUNS / 3);
  },
);

/** `undefined` where a hard link takes the place of the directory that its target is in (docs/fidelity.md, "Hard links"). */
async function unpackWithUmoci(layers: readonly Layer[]): Promise<JudgedEntry[] | undefined> {
  const folder = temporaryDirectory();
  try {
    const image = { layers: tarsOf(layers).map((tar) => ({ tar })), tag: "stack" };
    return await umociTree(writeLayout(path.join(folder.path, "layout"), [image]), "stack");
  } catch (error) {
    if (String(error).includes("link: no such file or directory")) return undefined;
    throw error;
  } finally {
    folder.remove();
  }
}

/** Differences but for link counts, and for those aspects of directories that the peer does not keep. */
function differencesOf(
  layers: readonly Layer[],
  found: readonly JudgedEntry[],
  notOfDirectories: readonly Aspect[],
): string[] {
  const directories = new Set(found.filter(({ type }) => type === "dir").map((entry) => entry.path));
  return compareTrees(modelTree(layers), found, {
    overlook: (aspect, place) =>
      aspect === "nlink" || (directories.has(place) && notOfDirectories.includes(aspect)),
  });
}

const hasOverlay = tools.mount && tools.python3 && (await canOverlay());

(hasOverlay ? testWith : testWithoutOverlay)(
  ["root", "mount", "python3", "tar", "setfattr"],
  `overlayfs shows the same tree (seed ${SEED}, ${PEER_RUNS} runs)`,
  async () => {
    // An overlay follows no link of a lower layer, and cannot tell a name given twice from one given once.
    const all = stacks({ hasSymlinks: false, hasHardlinks: false, hasOddPaths: false });
    for (const drawn of fc.sample(all, { numRuns: PEER_RUNS, seed: SEED })) {
      const { layers } = prune(drawn.map((layer) => shallowFirst(eachPathOnce(layer)).filter(isNoAufs)));
      const found = await overlayTree(layers);
      // docs/fidelity.md, "Directories without an entry": an upper directory's attributes cover the lower one's.
      const differences = differencesOf(layers, found, ["mode", "owner", "mtime", "xattrs"]);
      expect({ layers, differences }).toEqual({ layers, differences: [] });
    }
  },
);

function eachPathOnce(layer: Layer): Layer {
  return [...new Map(layer.map((entry) => [path.posix.join("/", entry.path, "."), entry])).values()];
}

/** Tar replaces a file by a directory's entry below it, and never the other way: so no entry takes an implied directory's place. */
function shallowFirst(layer: Layer): Layer {
  const depth = (entry: ModelEntry): number => path.posix.join("/", entry.path, ".").split("/").length;
  return layer.toSorted((left, right) => depth(left) - depth(right));
}

/** The kernel has overlayfs, but whether it can be mounted on this machine's file system is no fault of the tests. */
function testWithoutOverlay(_needed: readonly Judge[], name: string, body: () => Promise<void>): void {
  test.skip(`${name} (needs overlayfs)`, body);
}

function byText(left: string, right: string): number {
  return left < right ? -1 : 1;
}
