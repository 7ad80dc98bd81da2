/** The slots of a layer, written a second time from docs/format/disk-image.md, "Slots": lists that are joined. */
import { createHash } from "node:crypto";

/** A run's name, and the ordinals of its entries. */
type NaiveRun = [name: string, ordinals: number[]];

export interface NaiveEntry {
  readonly type: string;
  readonly path: string;
}

export interface NaiveSlots {
  readonly slots: number[];
  readonly files: number;
  readonly directories: number;
}

export function naiveSlots(entries: readonly NaiveEntry[]): NaiveSlots {
  const numbered = entries.map(({ type, path }, ordinal) => ({ type, path: trim(path), ordinal }));
  const files = numbered.filter(({ type }) => type !== "dir" && type !== "hardlink");
  const [others, generated] = [false, true].map((isWanted) =>
    lay(byParent(files.filter(({ path }) => isGenerated(path) === isWanted))),
  );
  const directories = lay(
    numbered.filter(({ type }) => type === "dir").map(({ path, ordinal }) => [path, [ordinal]]),
  );
  const base = room(others!.end);
  const slots = entries.map(
    (_, ordinal) =>
      directories.at.get(ordinal) ??
      others!.at.get(ordinal) ??
      (generated!.at.has(ordinal) ? base + generated!.at.get(ordinal)! : -1),
  );
  return {
    slots,
    files: generated!.end > 0 ? base + generated!.end : others!.end,
    directories: directories.end,
  };
}

function trim(path: string): string {
  return path.replace(/\/*$/, "");
}

function isGenerated(path: string): boolean {
  const names = path.split("/").filter((name) => !["", "."].includes(name));
  return ["etc", "var"].includes(names[0] ?? "") || names.includes("__pycache__");
}

function byParent(files: readonly { path: string; ordinal: number }[]): NaiveRun[] {
  const runs: NaiveRun[] = [];
  for (const { path, ordinal } of files) {
    const parent = path.split("/").slice(0, -1).join("/") + (path.includes("/") ? "/" : "");
    const run = runs.find(([name]) => name === parent);
    if (run === undefined) runs.push([parent, [ordinal]]);
    else run[1].push(ordinal);
  }
  return runs;
}

function lay(runs: readonly NaiveRun[]): { at: Map<number, number>; end: number } {
  const at = new Map<number, number>();
  let end = 0;
  for (const [name, ordinals] of runs) {
    const digest = createHash("sha256").update(name, "latin1").digest();
    const isCut = (b: number): boolean =>
      BigInt(digest.readUInt32LE(0)) * BigInt(b) < BigInt(ordinals.length) << 32n;
    const unit = isCut(8192) ? 512 : isCut(1024) ? 64 : isCut(128) ? 16 : 1;
    let start = end;
    while (start % unit !== 0) start++;
    if (start > 2 * at.size + 1024) start = end;
    for (const ordinal of ordinals) at.set(ordinal, start++);
    end = start;
  }
  return { at, end };
}

/** coarse(count, 16) */
function room(count: number): number {
  if (count === 0) return 0;
  let power = 1;
  while (2 * power <= count) power *= 2;
  const unit = Math.max(16, power / 8);
  return Math.ceil(count / unit) * unit;
}
