/** `lambda-img stats`: what is in the store, what it costs, and what shares with what. */
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { regionLabel } from "../report/disk-regions.ts";
import { storePage } from "../report/store-page.ts";
import {
  reportStore,
  type ImageUse,
  type SharedChunk,
  type StoreReport,
  type StoreView,
} from "../report/store-report.ts";
import { openContext, type CommonOptions, type Context } from "./context.ts";
import { checkHtmlFile, writeHtmlFile, type HtmlOptions } from "./_html-file.ts";
import { bytesJson, type Output } from "./output.ts";
import { throwUnreadable, unreadableJson, warnUnreadable } from "./_unreadable.ts";
import {
  plural,
  shorten,
  showCount,
  shownPath,
  showPercent,
  TEXT_COLUMNS,
  textTable,
} from "./_report-text.ts";

/** The command's options as commander gives them. */
export interface StatsOptions extends CommonOptions, HtmlOptions {}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Prints the report; with `--html` draws it, too. Where images cannot be read, it throws after that. */
export async function stats(options: StatsOptions, use: Use): Promise<void> {
  await checkHtmlFile(options);
  const context = await openContext(options, { create: false, output: use.output });
  try {
    const view: StoreView = {
      ...context,
      signal: use.signal,
      onProgress: (text) => {
        use.output.status(() => text);
      },
    };
    const report = await reportStore(view);
    warnUnreadable(report.unreadable, use.output);
    if (options.html !== undefined) await writeHtmlFile(options, await storePage(view, report));
    use.output.result(toJson(report, context, options), () => toText(report, context, options));
    throwUnreadable(report.unreadable, labelsOf(report).size);
  } finally {
    await context.store.close();
  }
}

/** Names, and ids of manifests that have none, of all that is there. */
function labelsOf({ images, unreadable }: StoreReport): ReadonlySet<string | undefined> {
  return new Set([
    ...images.flatMap(({ names, manifestId }) => (names.length === 0 ? [manifestId] : names)),
    ...unreadable.map(({ name, manifestId }) => name ?? manifestId),
  ]);
}

function toJson(report: StoreReport, context: Context, options: StatsOptions): Record<string, unknown> {
  const { images, totals } = report;
  return {
    command: "stats",
    store: context.store.path,
    customer: context.keyring.customerId,
    images: images.map((image) => ({
      manifest: image.manifestId,
      names: image.names,
      sourceDigest: image.sourceDigest,
      sizeBytes: image.diskBytes,
      chunks: {
        total: image.chunkCount,
        zero: image.zeroCount,
        filled: image.filledCount,
        distinct: image.distinctCount,
        unique: image.uniqueCount,
        shared: image.sharedCount,
      },
    })),
    unreadable: unreadableJson(report.unreadable),
    bytes: {
      disks: totals.diskBytes,
      filled: totals.filledBytes,
      stored: totals.storedBytes,
      dedupRatio: dedupRatio(report) ?? null,
    },
    sharing: report.matrix,
    sharers: report.census.histogram().map(([imageCount, chunks]) => ({ images: imageCount, chunks })),
    mostShared: report.mostShared.map((chunk) => ({
      name: chunk.name,
      images: chunk.imageCount,
      manifest: images[chunk.imageIndex]?.manifestId,
      index: chunk.chunkIndex,
      region: chunk.region?.kind,
      ...(chunk.region?.layerIndex === undefined ? {} : { layer: chunk.region.layerIndex }),
      paths: chunk.contents.kept.map(({ path, sizeBytes }) => ({ ...bytesJson("path", path), sizeBytes })),
      pathCount: chunk.contents.pathCount,
    })),
    ...(options.html === undefined ? {} : { html: options.html }),
  };
}

/** How many times less is stored than the disk images hold; of nothing, nothing. */
function dedupRatio({ totals }: StoreReport): number | undefined {
  return totals.storedBytes === 0 ? undefined : totals.filledBytes / totals.storedBytes;
}

/** Images and chunks that the text lists. */
const TEXT_IMAGES_MAX = 50;
const TEXT_MATRIX_MAX = 8;
const TEXT_SHARED_MAX = 10;
const TEXT_SHARERS_MAX = 12;

function toText(report: StoreReport, context: Context, options: StatsOptions): string {
  const { images, unreadable, totals, census } = report;
  const nameCount = images.reduce((sum, { names }) => sum + names.length, 0);
  const ratio = dedupRatio(report);
  const parts = [
    [
      `store     ${context.store.path}`,
      `customer  ${context.keyring.customerId}`,
      `images    ${plural(nameCount, "name")} for ${plural(images.length, "manifest")}`,
      ...(unreadable.length === 0 ? [] : [`not read  ${plural(unreadable.length, "image")}`]),
      `disks     ${showBytes(totals.diskBytes)}, of which ${showBytes(totals.filledBytes)} in chunks that are not zero`,
      `stored    ${showBytes(totals.storedBytes)} in ${plural(census.chunkCount, "distinct chunk")}`,
      `dedup     ${ratio === undefined ? "-" : `${ratio.toFixed(2)} to 1`}`,
      "",
    ].join("\n"),
  ];
  if (images.length > 0) parts.push(imagesText(images));
  if (images.length > 1) parts.push(matrixText(report), histogramText(report));
  if (report.mostShared.length > 0) parts.push(sharedText(report));
  if (options.html !== undefined) parts.push(`map in ${options.html}\n`);
  return parts.join("\n");
}

/** The image's first name, and that there are more. */
function imageTitle(image: ImageUse): string {
  const [first, ...more] = image.names;
  if (first === undefined) return `${image.manifestId.slice(0, 19)} (no name)`;
  const suffix = more.length === 0 ? "" : ` +${more.length}`;
  return `${shorten(first, 34 - suffix.length)}${suffix}`;
}

function imagesText(images: readonly ImageUse[]): string {
  const rows = images
    .slice(0, TEXT_IMAGES_MAX)
    .map((image, index) => [
      `${index + 1}`,
      imageTitle(image),
      showBytes(image.diskBytes),
      showCount(image.zeroCount),
      showCount(image.distinctCount),
      showCount(image.sharedCount),
      showCount(image.uniqueCount),
      showPercent(image.uniqueCount, image.distinctCount),
    ]);
  const head = [" #", "IMAGE", " DISK", " ZERO", " DISTINCT", " SHARED", " UNIQUE", " "];
  return `${textTable(head, rows)}${moreText(images.length - TEXT_IMAGES_MAX, "image")}`;
}

function matrixText({ matrix }: StoreReport): string {
  const shown = matrix.slice(0, TEXT_MATRIX_MAX);
  const head = ["COMMON CHUNKS", ...shown.map((_, index) => ` ${index + 1}`)];
  const rows = shown.map((cells, row) => [
    `${row + 1}`,
    ...cells.slice(0, TEXT_MATRIX_MAX).map((count, column) => (column < row ? "" : showCount(count))),
  ]);
  return `${textTable(head, rows)}${moreText(matrix.length - TEXT_MATRIX_MAX, "image")}`;
}

function histogramText({ census }: StoreReport): string {
  const all = census.histogram();
  const rows = all
    .slice(0, TEXT_SHARERS_MAX)
    .map(([imageCount, chunkCount]) => [
      showCount(imageCount),
      showCount(chunkCount),
      showBytes(chunkCount * CHUNK_BYTES),
    ]);
  const table = textTable([" IN IMAGES", " CHUNKS", " BYTES"], rows);
  return `${table}${moreText(all.length - TEXT_SHARERS_MAX, "line")}`;
}

function sharedText({ mostShared }: StoreReport): string {
  const shown = mostShared
    .slice(0, TEXT_SHARED_MAX)
    .map((chunk) => [
      `${chunk.imageCount}`,
      `${chunk.chunkIndex} of ${chunk.imageIndex + 1}`,
      chunk.region === undefined ? "" : regionLabel(chunk.region),
    ]);
  const head = [" IN IMAGES", " CHUNK", "REGION"];
  const lead = textTable(head, shown).split("\n");
  const width = Math.max(...lead.map((line) => line.length)) + 2;
  const lines = lead.slice(1, -1).map((line, index) => {
    const holds = holdsText(mostShared[index], TEXT_COLUMNS - width);
    return `${line.padEnd(width)}${holds}`.trimEnd();
  });
  const title = `${(lead[0] ?? "").padEnd(width)}HOLDS`;
  return `${[title, ...lines].join("\n")}\n`;
}

function holdsText(chunk: SharedChunk | undefined, columns: number): string {
  const [first] = chunk?.contents.kept ?? [];
  if (chunk === undefined || first === undefined) return "";
  const more = chunk.contents.pathCount - 1;
  const suffix = more === 0 ? "" : ` and ${showCount(more)} more`;
  return `${shownPath(first.path, columns - suffix.length)}${suffix}`;
}

function moreText(count: number, noun: string): string {
  return count <= 0 ? "" : `... and ${plural(count, `more ${noun}`)}; --json has them\n`;
}
