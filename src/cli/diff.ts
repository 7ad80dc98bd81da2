/** `lambda-img diff`: which chunks an image has that another has not, and which files put them there. */
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import { diffPage } from "../report/diff-page.ts";
import { regionLabel } from "../report/disk-regions.ts";
import {
  COST_REASONS,
  diffImages,
  type CostReason,
  type CostSum,
  type ImageDiff,
  type PathCost,
  type RegionCost,
} from "../report/image-diff.ts";
import { openContext, openImageManifest, type CommonOptions } from "./context.ts";
import { checkHtmlFile, writeHtmlFile, type HtmlOptions } from "./_html-file.ts";
import { bytesJson, type Output } from "./output.ts";
import { plural, shorten, showCount, shownPath, TEXT_COLUMNS, textTable } from "./_report-text.ts";

/** The command's options as commander gives them. */
export interface DiffOptions extends CommonOptions, HtmlOptions {}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

interface Side {
  readonly image: string;
  readonly manifestId: ManifestId;
  readonly content: ManifestContent;
}

/** Prints the difference; with `--html` draws it, too. A difference is a result, no failure. */
export async function diff(operands: readonly string[], options: DiffOptions, use: Use): Promise<void> {
  const [imageBefore = "", imageAfter = ""] = operands;
  await checkHtmlFile(options);
  const context = await openContext(options, { create: false, output: use.output });
  const open = async (image: string): Promise<Side> => ({
    image,
    ...(await openImageManifest(context, image)),
  });
  try {
    const before = await open(imageBefore);
    const after = await open(imageAfter);
    const input = {
      store: context.store,
      before: before.content,
      after: after.content,
      pathCountMax: JSON_PATHS_MAX,
      signal: use.signal,
      onProgress: (text: string): void => {
        use.output.status(() => text);
      },
    };
    const found = await diffImages(input);
    if (options.html !== undefined) {
      const names = { before: imageBefore, after: imageAfter };
      await writeHtmlFile(options, await diffPage({ ...input, names }, found));
    }
    const subject = { before, after, html: options.html };
    use.output.result(toJson(found, subject), () => toText(found, subject));
  } finally {
    await context.store.close();
  }
}

/** What one line of JSON can hold without harm: some 20 MB. */
const JSON_PATHS_MAX = 100_000;

interface Subject {
  readonly before: Side;
  readonly after: Side;
  readonly html: string | undefined;
}

function toJson(found: ImageDiff, { before, after, html }: Subject): Record<string, unknown> {
  const { places, chunks, inodes, morePaths } = found;
  return {
    command: "diff",
    before: { image: before.image, manifest: before.manifestId },
    after: { image: after.image, manifest: after.manifestId },
    chunks: {
      common: chunks.commonCount,
      onlyBefore: chunks.onlyBeforeCount,
      onlyAfter: chunks.onlyAfterCount,
    },
    places: {
      same: places.sameCount,
      changed: places.changedCount,
      onlyBefore: places.onlyBeforeCount,
      onlyAfter: places.onlyAfterCount,
    },
    newBytes: found.newBytes,
    regions: found.regions.map(({ region, filledCount, newCount, isLayerKnown, reasons }) => ({
      region: region.kind,
      ...(region.layerIndex === undefined
        ? {}
        : {
            layer: region.layerIndex,
            diffId: after.content.image.layerDiffIds[region.layerIndex],
            layerInBefore: isLayerKnown,
          }),
      firstChunk: region.firstChunk,
      chunks: { filled: filledCount, new: newCount },
      reasons: Object.fromEntries(COST_REASONS.map((reason) => [reason, sumJson(reasons[reason])])),
    })),
    inodes: {
      inNewChunks: inodes.inodeCount,
      new: inodes.newCount,
      renumbered: inodes.renumberedCount,
      removed: inodes.removedCount,
      changes: Object.fromEntries(inodes.changes),
    },
    paths: found.paths.map(({ path, newChunkCount, ...cost }) => ({
      ...bytesJson("path", path),
      ...cost,
      newChunks: newChunkCount,
    })),
    morePaths: sumJson(morePaths),
    ...(html === undefined ? {} : { html }),
  };
}

function sumJson({ pathCount, newBytes }: CostSum): { paths: number; newBytes: number } {
  return { paths: pathCount, newBytes };
}

/** Paths and kinds of change that the text lists. */
const TEXT_PATHS_MAX = 12;
const TEXT_CHANGES_MAX = 5;
/** What the columns before a path leave of a line, a slash after it included. */
const PATH_COLUMNS: number = TEXT_COLUMNS - 38;

function toText(found: ImageDiff, { before, after, html }: Subject): string {
  const { chunks, places } = found;
  const total = chunks.commonCount + chunks.onlyAfterCount;
  const parts = [
    [
      `before   ${shorten(before.image, TEXT_COLUMNS - 9)}`,
      `after    ${shorten(after.image, TEXT_COLUMNS - 9)}`,
      `upload   ${showBytes(found.newBytes)}: ${showCount(chunks.onlyAfterCount)} of ${plural(total, "distinct chunk")} new`,
      `chunks   ${showCount(chunks.commonCount)} in both, ${showCount(chunks.onlyBeforeCount)} only before, ` +
        `${showCount(chunks.onlyAfterCount)} only after`,
      `places   ${showCount(places.sameCount)} the same, ${showCount(places.changedCount)} changed, ` +
        `${showCount(places.onlyBeforeCount)} filled only before, ${showCount(places.onlyAfterCount)} only after`,
      "",
    ].join("\n"),
    regionsText(found, after),
  ];
  const inodes = inodesText(found);
  if (inodes !== "") parts.push(inodes);
  if (found.paths.length > 0) parts.push(pathsText(found));
  if (html !== undefined) parts.push(`map in ${html}\n`);
  return parts.join("\n");
}

function regionsText({ regions }: ImageDiff, after: Side): string {
  const head = ["REGION", " CHUNKS", " NEW", " BYTES", "WHAT IS IN THE NEW CHUNKS"];
  const rows = regions.map((cost) => [
    `${regionLabel(cost.region)}${cost.isLayerKnown === false ? " (new layer)" : ""}`,
    showCount(cost.filledCount),
    showCount(cost.newCount),
    showBytes(cost.newCount * CHUNK_BYTES),
    cost.newCount === 0 ? "" : reasonsText(cost),
  ]);
  const known = new Set(
    regions.filter(({ isLayerKnown }) => isLayerKnown).map(({ region }) => region.layerIndex),
  );
  const withFiles = new Set(regions.flatMap(({ region }) => region.layerIndex ?? []));
  const none = after.content.image.layerDiffIds.length - withFiles.size;
  const note =
    `${known.size} of ${plural(withFiles.size, "layer")} with files ${known.size === 1 ? "is" : "are"} in the first image, too` +
    `${none === 0 ? "" : `; ${plural(none, "layer")} without files`}\n`;
  return `${textTable(head, rows)}${note}`;
}

function reasonsText({ region, reasons }: RegionCost): string {
  if (region.kind === "superblock") return superblockText(reasons);
  if (region.kind === "inodes") return "inodes: see below";
  const same = reasons.moved.newBytes + reasons.neighbour.newBytes;
  return [...CAUSES.map((reason) => [reason, reasons[reason].newBytes] as const), ["same", same] as const]
    .filter(([, sizeBytes]) => sizeBytes > 0)
    .map(([what, sizeBytes]) => `${what} ${showBytes(sizeBytes)}`)
    .join(", ");
}

/** Most of chunk 0 is of no path; the directories that changed there are in the list of paths. */
function superblockText(reasons: RegionCost["reasons"]): string {
  const counts = "counts of what is free, bitmaps";
  return CAUSES.some((reason) => reasons[reason].newBytes > 0) ? `${counts}, directories` : counts;
}

function inodesText({ inodes }: ImageDiff): string {
  const { inodeCount, newCount, renumberedCount, removedCount, changes } = inodes;
  if (inodeCount + removedCount === 0) return "";
  const all = [...changes];
  const lines = [
    `inodes   ${showCount(inodeCount)} in use in the new chunks of inode tables`,
    ...(newCount === 0 ? [] : [`  ${showCount(newCount)} of new paths`]),
    ...(renumberedCount === 0 ? [] : [`  ${showCount(renumberedCount)} of paths that had another number`]),
    ...(removedCount === 0 ? [] : [`  ${showCount(removedCount)} gone`]),
    ...all
      .slice(0, TEXT_CHANGES_MAX)
      .map(([aspects, count]) => `  ${showCount(count)} changed only in ${aspectsText(aspects)}`),
    ...(all.length > TEXT_CHANGES_MAX
      ? [`  ... and ${plural(all.length - TEXT_CHANGES_MAX, "more combination")}`]
      : []),
  ];
  return `${lines.join("\n")}\n`;
}

function aspectsText(aspects: string): string {
  return aspects.replaceAll(",", ", ").replace("place", "the place of blocks");
}

/** New and changed paths cause the cost; the others are in the same chunks, or lie elsewhere because of them. */
const CAUSES: readonly CostReason[] = ["new", "changed"];

function pathsText({ paths, morePaths }: ImageDiff): string {
  const isCause = ({ reason }: PathCost): boolean => CAUSES.includes(reason);
  const carried = paths.filter((path) => !isCause(path));
  const parts = [
    pathTable("NEW OR CHANGED PATH", paths.filter(isCause)),
    pathTable("PATH WITH THE SAME CONTENT", carried),
  ];
  const moved =
    "moved: to another place within a chunk; neighbour: in one chunk with something new or changed\n";
  if (carried.length > 0) parts.push(moved);
  if (morePaths.pathCount > 0) {
    parts.push(
      `${plural(morePaths.pathCount, "path")} with ${showBytes(morePaths.newBytes)} were not looked at\n`,
    );
  }
  return parts.filter((part) => part !== "").join("\n");
}

function pathTable(title: string, paths: readonly PathCost[]): string {
  if (paths.length === 0) return "";
  const rows = paths
    .slice(0, TEXT_PATHS_MAX)
    .map(({ path, type, reason, newBytes, sizeBytes }) => [
      showBytes(newBytes),
      showBytes(sizeBytes),
      reason,
      shownPath(path, PATH_COLUMNS) + (type === "dir" && path !== "/" ? "/" : ""),
    ]);
  const rest = paths.slice(TEXT_PATHS_MAX);
  const restBytes = rest.reduce((sum, { newBytes }) => sum + newBytes, 0);
  const more =
    rest.length === 0
      ? ""
      : `... and ${showCount(rest.length)} more with ${showBytes(restBytes)}; --json has them\n`;
  return `${textTable([" IN NEW CHUNKS", " OF SIZE", "REASON", title], rows)}${more}`;
}
