/** `lambda-img images` and `lambda-img inspect`: what the store has, and what one image is. */
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { diskBytes, tableChunkNames, type ManifestContent } from "../manifest/manifest.ts";
import type { UnreadableImage } from "../report/store-report.ts";
import { imageError } from "../store/image-error.ts";
import type { ListedRef } from "../store/store.ts";
import {
  openContext,
  openImageManifest,
  openManifestOf,
  type CommonOptions,
  type Context,
  type OpenedManifest,
} from "./context.ts";
import type { Output } from "./output.ts";
import { throwUnreadable, unreadableJson, warnUnreadable } from "./_unreadable.ts";

/** Lists the names in the store. Where images cannot be read, the others are listed, and it throws after that. */
export async function images(options: CommonOptions, use: { readonly output: Output }): Promise<void> {
  const context = await openContext(options, { create: false, output: use.output });
  try {
    const listed: ListedImage[] = [];
    const unreadable: UnreadableImage[] = [];
    for (const ref of await context.store.listRefs(context.keyring.customerId)) {
      const image = await listImage(context, ref);
      if ("error" in image) unreadable.push(image);
      else listed.push(image);
    }
    warnUnreadable(unreadable, use.output);
    const json = { command: "images", images: listed, unreadable: unreadableJson(unreadable) };
    use.output.result(json, () =>
      table([
        ["NAME", "MANIFEST", "DISK", "CHUNKS"],
        ...listed.map((image) => [
          image.name,
          image.manifest.slice(0, 19),
          showBytes(image.sizeBytes),
          showBytes(image.storedBytes),
        ]),
      ]),
    );
    throwUnreadable(unreadable, listed.length + unreadable.length);
  } finally {
    await context.store.close();
  }
}

interface ListedImage {
  readonly name: string;
  readonly manifest: string;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly sourceDigest: string;
}

async function listImage(context: Context, ref: ListedRef): Promise<ListedImage | UnreadableImage> {
  const { imageName: name } = ref;
  if ("error" in ref) return { name, manifestId: undefined, error: ref.error };
  const { manifestId } = ref;
  let opened: OpenedManifest;
  try {
    opened = await openManifestOf(context, { image: name, manifestId });
  } catch (error) {
    return { name, manifestId, error: imageError(error, name) };
  }
  const { content } = opened;
  return {
    name,
    manifest: manifestId,
    sizeBytes: diskBytes(content),
    storedBytes: countUnique(content) * CHUNK_BYTES,
    sourceDigest: content.image.sourceDigest,
  };
}

/** Prints what a manifest says. */
export async function inspect(
  image: string,
  options: CommonOptions,
  use: { readonly output: Output },
): Promise<void> {
  const context = await openContext(options, { create: false, output: use.output });
  try {
    const { manifestId, manifestBytes, content } = await openImageManifest(context, image);
    const { run, platform, options: chosen, ...record } = content.image;
    const unique = countUnique(content);
    const json = {
      command: "inspect",
      image,
      manifest: manifestId,
      manifestBytes,
      customer: context.keyring.customerId,
      sourceDigest: record.sourceDigest,
      platform: [
        platform.os,
        platform.architecture,
        ...(platform.variant === undefined ? [] : [platform.variant]),
      ].join("/"),
      layoutVersion: record.layoutVersion,
      options: chosen,
      disk: { sizeBytes: diskBytes(content), digest: record.diskDigest },
      chunks: {
        total: content.diskChunkCount,
        zero: content.diskChunkCount - content.indexes.length,
        unique,
      },
      layers: record.layerDiffIds,
      config: { ...run, labels: Object.fromEntries(run.labels) },
    };
    use.output.result(json, () =>
      table([
        ["image", image],
        ["manifest", `${manifestId} (${showBytes(manifestBytes)})`],
        ["source", json.sourceDigest],
        ["platform", json.platform],
        ["disk", `${showBytes(json.disk.sizeBytes)}, digest ${json.disk.digest}`],
        [
          "chunks",
          `${json.chunks.total}: ${json.chunks.zero} zero, ${unique} unique (${showBytes(unique * CHUNK_BYTES)})`,
        ],
        ...record.layerDiffIds.map((diffId, i) => [i === 0 ? "layers" : "", diffId]),
        ["user", run.user],
        ["working dir", run.workingDir],
        ["entrypoint", JSON.stringify(run.entrypoint)],
        ["cmd", JSON.stringify(run.cmd)],
        ...run.env.map((variable, i) => [i === 0 ? "env" : "", variable]),
      ]),
    );
  } finally {
    await context.store.close();
  }
}

function countUnique(content: ManifestContent): number {
  return new Set(tableChunkNames(content)).size;
}

/** Columns as wide as their widest cell, the last one as it is; control characters of an image stay harmless. */
function table(rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map((cell) => cell.replace(/[\p{Cc}\p{Cf}]/gu, "?")));
  const widths = (shown[0] ?? []).map((_, column) =>
    Math.max(...shown.map((row) => row[column]?.length ?? 0)),
  );
  return shown
    .map(
      (row) =>
        `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join("  ")}\n`,
    )
    .join("");
}
