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

/** Units that slots were rounded up to before a run, and so moved. */
export interface NaiveCuts {
  readonly files: Set<number>;
  readonly directories: Set<number>;
}

/** Slots are rounded up to a multiple of `unit` before about one in `of` entries; the first that is drawn holds. */
type Chances = readonly (readonly [unit: number, of: bigint])[];

const FILE_CHANCES: Chances = [
  [512, 16384n],
  [64, 1024n],
  [16, 256n],
  [8, 128n],
];
const DIRECTORY_CHANCES: Chances = [
  [64, 1024n],
  [16, 256n],
  [8, 64n],
];

/** The slots of the entries; notes in `cuts` which ones moved a run. */
export function naiveSlots(entries: readonly NaiveEntry[], cuts?: NaiveCuts): NaiveSlots {
  const numbered = entries.map(({ type, path }, ordinal) => ({ type, path: trim(path), ordinal }));
  const files = numbered.filter(({ type }) => type !== "dir" && type !== "hardlink");
  const [others, generated] = [false, true].map((isWanted) => {
    const runs = byParent(files.filter(({ path }) => isGenerated(path) === isWanted));
    return lay(runs, FILE_CHANCES, cuts?.files);
  });
  const directories = lay(
    numbered.filter(({ type }) => type === "dir").map(({ path, ordinal }) => [path, [ordinal]]),
    DIRECTORY_CHANCES,
    cuts?.directories,
  );
  const base = naiveRoom(others!.end);
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
  const runs = new Map<string, number[]>();
  for (const { path, ordinal } of files) {
    const parent = path.split("/").slice(0, -1).join("/") + (path.includes("/") ? "/" : "");
    runs.set(parent, [...(runs.get(parent) ?? []), ordinal]);
  }
  return [...runs];
}

function lay(
  runs: readonly NaiveRun[],
  chances: Chances,
  cuts: Set<number> | undefined,
): { at: Map<number, number>; end: number } {
  const at = new Map<number, number>();
  let end = 0;
  for (const [name, ordinals] of runs) {
    const digest = createHash("sha256").update(name, "latin1").digest();
    const isCut = (of: bigint): boolean =>
      BigInt(digest.readUInt32LE(0)) * of < BigInt(ordinals.length) << 32n;
    const unit = chances.find(([, of]) => isCut(of))?.[0] ?? 1;
    let start = end;
    while (start % unit !== 0) start++;
    if (start > 2 * at.size + 1024) start = end;
    if (start > end) cuts?.add(unit);
    for (const ordinal of ordinals) at.set(ordinal, start++);
    end = start;
  }
  return { at, end };
}

/** room(count) */
export function naiveRoom(count: number): number {
  if (count === 0) return 0;
  let power = 1;
  while (2 * power <= count) power *= 2;
  const unit = Math.max(16, power / 16);
  return Math.ceil(count / unit) * unit;
}
