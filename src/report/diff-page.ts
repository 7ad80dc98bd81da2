/** The page of `lambda-img diff --html`: maps of two images, and what the second costs after the first. */
import { showByteString } from "../base/bytes.ts";
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import type { ManifestContent } from "../manifest/manifest.ts";
import { ChunkCensus } from "./chunk-census.ts";
import { readImageContents } from "./chunk-contents.ts";
import { cellCount, ChunkMapBuilder, MAP_CELLS_MAX, pathsPerChunk } from "./chunk-maps.ts";
import { regionLabel } from "./disk-regions.ts";
import { COST_REASONS, type DiffInput, type ImageDiff } from "./image-diff.ts";
import { renderPage, type PageTable } from "./page.ts";

const TABLE_PATHS_MAX = 100;

/** The two images, and what users call them. */
export interface DiffPageInput extends Omit<DiffInput, "pathCountMax"> {
  readonly names: { readonly before: string; readonly after: string };
}

/**
 * Reads the metadata of both images. Images whose maps would have more than MAP_CELLS_MAX squares are not drawn.
 * @throws what diffImages throws
 */
export async function diffPage(input: DiffPageInput, found: ImageDiff): Promise<string> {
  const { names } = input;
  const sides = [
    { title: `before: ${names.before}`, content: input.before, unique: found.chunks.onlyBeforeCount },
    { title: `after: ${names.after}`, content: input.after, unique: found.chunks.onlyAfterCount },
  ];
  const census = new ChunkCensus();
  const chunks = sides.map(({ content }) => census.add(content));
  const builder = new ChunkMapBuilder(census, chunks);
  const keptMax = pathsPerChunk(input.before.indexes.length + input.after.indexes.length);
  let cells = 0;
  let left = 0;
  for (const [index, { title, content, unique }] of sides.entries()) {
    input.onProgress?.(`drawing ${title}`);
    const { regions, contents } = await readImageContents(input.store, content, {
      keptMax,
      isWanted: () => true,
      signal: input.signal,
    });
    cells += cellCount(content, regions);
    const own = chunks[index];
    if (cells > MAP_CELLS_MAX || own === undefined) {
      left++;
      continue;
    }
    const lines = [
      `${own.distinct.length} distinct chunks: ${unique} in this image only`,
      layersLine(content),
    ];
    builder.add({ title, lines, content, chunks: own, regions, contents });
  }
  return renderPage({
    title: `${names.before} and ${names.after}`,
    intro: `What an upload of ${names.after} costs where ${names.before} is.`,
    facts: [
      ["to upload", `${showBytes(found.newBytes)} in ${found.chunks.onlyAfterCount} chunks`],
      ["in both", `${found.chunks.commonCount} chunks`],
      ["only before", `${found.chunks.onlyBeforeCount} chunks`],
    ],
    tables: [regionTable(found)],
    longTables: pathTables(found),
    uniqueLabel: "in one image only",
    maps: builder.finish(left === 0 ? "" : `${left} of the maps would be too large to be drawn.`),
  });
}

function layersLine({ image }: ManifestContent): string {
  const count = image.layerDiffIds.length;
  return `${count} ${count === 1 ? "layer" : "layers"}`;
}

function regionTable({ regions }: ImageDiff): PageTable {
  return {
    caption: "What each region of the second image costs, and how many paths are in its new chunks by reason",
    head: ["Region", "Chunks", "New", "Bytes", ...COST_REASONS.map((reason) => `paths: ${reason}`)],
    rows: regions.map(({ region, filledCount, newCount, isLayerKnown, reasons }) => [
      `${regionLabel(region)}${isLayerKnown === true ? " (layer of the first, too)" : ""}`,
      String(filledCount),
      String(newCount),
      showBytes(newCount * CHUNK_BYTES),
      ...COST_REASONS.map((reason) => String(reasons[reason].pathCount)),
    ]),
  };
}

function pathTables({ paths, morePaths }: ImageDiff): PageTable[] {
  if (paths.length === 0) return [];
  const shown = paths.slice(0, TABLE_PATHS_MAX);
  const more = paths.length + morePaths.pathCount - shown.length;
  return [
    {
      caption: `Paths with the most bytes in new chunks${more === 0 ? "" : ` (${more} more are not listed)`}`,
      head: ["In new chunks", "Size", "New chunks", "Reason", "Path"],
      rows: shown.map(({ path, reason, newBytes, sizeBytes, newChunkCount }) => [
        showBytes(newBytes),
        showBytes(sizeBytes),
        String(newChunkCount),
        reason,
        showByteString(path),
      ]),
    },
  ];
}
