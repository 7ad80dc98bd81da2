/** The page of `lambda-img stats --html`: a map of every image, coloured by how many images share each chunk. */
import { showByteString } from "../base/bytes.ts";
import { throwIfCancelled } from "../base/cancel.ts";
import { showBytes } from "../base/units.ts";
import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader } from "../ext4/reader.ts";
import { imageError } from "../store/image-error.ts";
import { cellCount, ChunkMapBuilder, MAP_CELLS_MAX, MAP_IMAGES_MAX, pathsPerChunk } from "./chunk-maps.ts";
import { readImageContents } from "./chunk-contents.ts";
import { readRegions, regionLabel } from "./disk-regions.ts";
import { renderPage, type PageTable } from "./page.ts";
import { openStoredManifest, type ImageUse, type StoreReport, type StoreView } from "./store-report.ts";

const TABLE_MATRIX_MAX = 16;
const TABLE_SHARED_MAX = 25;
/** Digits of a chunk name: enough to find it in a store. */
const NAME_DIGITS = 12;

/**
 * Reads the metadata of the images that are drawn: at most MAP_IMAGES_MAX of them, with MAP_CELLS_MAX squares in all.
 * @throws what reportStore throws
 */
export async function storePage(view: StoreView, report: StoreReport): Promise<string> {
  const mapped = await chooseImages(view, report.images);
  const chunkCount = mapped.reduce((sum, { filledCount }) => sum + filledCount, 0);
  const builder = new ChunkMapBuilder(
    report.census,
    mapped.map(({ chunks }) => chunks),
  );
  for (const image of mapped) {
    throwIfCancelled(view.signal);
    view.onProgress?.(`drawing ${titleOf(image)}`);
    const drawn = await naming(image, async () => {
      const content = await openStoredManifest(view, image.manifestId);
      const keptMax = pathsPerChunk(chunkCount);
      const wanted = { keptMax, isWanted: () => true, signal: view.signal };
      return { content, ...(await readImageContents(view.store, content, wanted)) };
    });
    builder.add({ ...drawn, title: titleOf(image), lines: linesOf(image), chunks: image.chunks });
  }
  const left = report.images.length - mapped.length;
  const note =
    left === 0
      ? ""
      : `Not drawn, since the page would be too large: images beyond the first ${mapped.length}.`;
  return renderPage({
    title: "Chunks of the store",
    intro: "Which chunks the images of one customer have, and how many images share each of them.",
    facts: factsOf(report),
    tables: matrixTables(report),
    longTables: sharedTables(report),
    uniqueLabel: "in this image only",
    maps: builder.finish(note),
  });
}

async function chooseImages(view: StoreView, images: readonly ImageUse[]): Promise<ImageUse[]> {
  const chosen: ImageUse[] = [];
  let cells = 0;
  for (const image of images.slice(0, MAP_IMAGES_MAX)) {
    cells += await naming(image, async () => {
      const content = await openStoredManifest(view, image.manifestId);
      const device = new ImageDevice(view.store, content);
      const { superblock } = await Ext4Reader.open(device);
      return cellCount(content, await readRegions(device, superblock, content.image.segments));
    });
    if (cells > MAP_CELLS_MAX) break;
    chosen.push(image);
  }
  return chosen;
}

/** Has the failures name the image. */
async function naming<T>({ names, manifestId }: ImageUse, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw imageError(error, names[0] ?? manifestId);
  }
}

function titleOf({ names, manifestId }: ImageUse): string {
  const [first, ...more] = names;
  if (first === undefined) return `${manifestId.slice(0, 19)} (no name)`;
  return more.length === 0
    ? first
    : `${first} (also ${more.slice(0, 3).join(", ")}${more.length > 3 ? ", ..." : ""})`;
}

function linesOf(image: ImageUse): string[] {
  return [
    `${image.distinctCount} distinct chunks: ${image.uniqueCount} in no other image, ${image.sharedCount} shared`,
    `manifest ${image.manifestId}`,
  ];
}

function factsOf({ images, unreadable, totals, census }: StoreReport): (readonly [string, string])[] {
  const ratio =
    totals.storedBytes === 0 ? "-" : `${(totals.filledBytes / totals.storedBytes).toFixed(2)} to 1`;
  return [
    ["images", String(images.length)],
    ...(unreadable.length === 0 ? [] : [["images that cannot be read", String(unreadable.length)] as const]),
    ["chunks of all images, not zero", showBytes(totals.filledBytes)],
    ["stored", `${showBytes(totals.storedBytes)} in ${census.chunkCount} chunks`],
    ["deduplication", ratio],
  ];
}

function matrixTables({ images, matrix }: StoreReport): PageTable[] {
  const first = images.slice(0, TABLE_MATRIX_MAX);
  if (first.length < 2) return [];
  return [
    {
      caption:
        first.length < images.length ? `Common chunks of the first ${first.length} images` : "Common chunks",
      head: ["Image", ...first.map((_, index) => String(index + 1))],
      rows: first.map((image, row) => [
        `${row + 1}  ${titleOf(image)}`,
        ...first.map((_, column) => String(matrix[row]?.[column] ?? "")),
      ]),
    },
  ];
}

function sharedTables({ mostShared }: StoreReport): PageTable[] {
  if (mostShared.length === 0) return [];
  const rows = mostShared
    .slice(0, TABLE_SHARED_MAX)
    .map(({ imageCount, chunkIndex, imageIndex, region, name, contents }) => {
      const [largest] = contents.kept;
      const more = contents.pathCount > 1 ? ` and ${contents.pathCount - 1} more` : "";
      return [
        String(imageCount),
        String(chunkIndex),
        String(imageIndex + 1),
        region === undefined ? "" : regionLabel(region),
        name.slice(0, NAME_DIGITS),
        largest === undefined ? "" : `${showByteString(largest.path)}${more}`,
      ];
    });
  const head = ["Images", "Chunk", "Of image", "Region", "Name", "Largest path"];
  return [{ caption: "Most shared chunks", head, rows }];
}
