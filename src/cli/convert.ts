// ⚡ uses: process, time
/** `lambda-img convert`. */
import { availableParallelism } from "node:os";

import { LambdaImgError } from "../base/error.ts";
import { LAYER_BYTES_MAX_DEFAULT } from "../base/limit.ts";
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { convertImage, type ConversionResult, type Progress } from "../convert/convert-image.ts";
import { WorkerSealer } from "../convert/worker-sealer.ts";
import { saltOf } from "../crypto/salt.ts";
import { parseManifestId } from "../manifest/manifest-id.ts";
import { hostPlatform } from "../oci/host-platform.ts";
import { parsePlatform, showPlatform } from "../oci/platform.ts";
import { openImage } from "../source/open-image.ts";
import type { OciImage } from "../source/oci-image.ts";
import { defaultImageName, parseImageReference } from "../source/reference.ts";
import { imageFileName } from "../store/image-name.ts";
import { openContext, type CommonOptions } from "./context.ts";
import { registryOptions, reportDryRun, type RegistryCliOptions } from "./_registry.ts";
import type { Output } from "./output.ts";
import { parseSize, parseSizeRequest } from "./parse-size.ts";

/** The command's options as commander gives them. */
export interface ConvertOptions extends CommonOptions, RegistryCliOptions {
  readonly dryRun?: boolean;
  readonly name?: string;
  readonly platform?: string;
  readonly size: string;
  readonly maxLayerSize?: string;
  readonly jobs?: string;
}

/** Converts and prints what came of it. */
export async function convert(
  reference: string,
  options: ConvertOptions,
  use: { readonly output: Output; readonly signal: AbortSignal },
): Promise<void> {
  const startedMs = performance.now();
  const { output, signal } = use;
  const parsed = parseImageReference(reference);
  const sizeRequest = parseSizeRequest(options.size);
  const layerBytesMax =
    options.maxLayerSize === undefined
      ? LAYER_BYTES_MAX_DEFAULT
      : parseSize(options.maxLayerSize, "--max-layer-size");
  const jobs = parseJobs(options.jobs);
  const platform = options.platform === undefined ? undefined : parsePlatform(options.platform);
  const imageName = options.name ?? defaultImageName(parsed);
  checkName(imageName);
  const registry = await registryOptions(parsed, options);
  const image = await openImage(parsed, { platform, defaultPlatform: hostPlatform(), registry, signal });
  try {
    if (options.dryRun === true) {
      reportDryRun(image, { reference: parsed, imageName, output });
      return;
    }
    const context = await openContext(options, { create: true, output });
    const { saltParameters } = context.store.activeRoot();
    const sealer = new WorkerSealer(jobs, saltOf(saltParameters), await context.store.beginWriting());
    try {
      const result = await convertImage({
        image,
        store: context.store,
        sealer,
        keyring: context.keyring,
        imageName,
        sizeRequest,
        layerBytesMax,
        signal,
        onProgress: (progress) => {
          output.status(() => showProgress(progress));
        },
      });
      report(result, { image, imageName, output, seconds: (performance.now() - startedMs) / 1000 });
    } finally {
      await sealer.close();
      await context.store.close();
    }
  } finally {
    await image.close();
  }
}

function report(
  result: ConversionResult,
  run: {
    readonly image: OciImage;
    readonly imageName: string;
    readonly output: Output;
    readonly seconds: number;
  },
): void {
  const { image, imageName, output } = run;
  const { chunks } = result;
  if (result.clampedTimeCount > 0) {
    output.warn(
      `${result.clampedTimeCount} files have a time that ext4 cannot hold (1901 to 2446); they have the nearest it can`,
    );
  }
  const sizeBytes = result.diskChunkCount * CHUNK_BYTES;
  const platform = showPlatform(image.config.platform);
  const seconds = Math.round(run.seconds * 1000) / 1000;
  const json = {
    command: "convert",
    name: imageName,
    manifest: result.manifestId,
    sourceDigest: image.sourceDigest,
    platform,
    disk: { sizeBytes, digest: result.diskDigest },
    chunks: { total: result.diskChunkCount, ...chunks },
    bytes: { pulled: image.pulledBytes(), layers: result.layerBytes, new: result.storedBytes },
    layers: { total: image.layers.length, reused: 0 },
    clampedTimes: result.clampedTimeCount,
    seconds,
  };
  output.result(json, () =>
    [
      `${imageName}: ${result.manifestId}`,
      `  source    ${image.sourceDigest} (${platform}, ${image.layers.length} layers, ${showBytes(result.layerBytes)} read)`,
      `  disk      ${showBytes(sizeBytes)}, digest ${result.diskDigest}`,
      `  chunks    ${result.diskChunkCount}: ${chunks.zero} zero, ${chunks.unique} unique, of these ${chunks.new} new and ${chunks.reused} there before`,
      `  stored    ${showBytes(result.storedBytes)} in ${seconds} s`,
      "",
    ].join("\n"),
  );
}

/** Refuses before the work what putRef would refuse after it, and a name that could never be used. */
function checkName(imageName: string): void {
  imageFileName(imageName);
  if (parseManifestId(imageName) === undefined) return;
  throw new LambdaImgError(
    "REFERENCE_INVALID",
    `invalid image name: expected one that is no manifest id, found ${JSON.stringify(imageName)}`,
  );
}

function showProgress(progress: Progress): string {
  switch (progress.stage) {
    case "layer":
      return `${progress.label ?? ""}: ${showBytes(progress.tarBytes ?? 0)} unpacked, ${showBytes(progress.pulledBytes ?? 0)} read`;
    case "flatten":
      return "flattening the layers";
    case "hide":
      return "zeroing hidden files";
    case "metadata":
      return "writing the file system's metadata";
    case "durable":
      return "waiting until all chunks are on the disk";
    case "manifest":
      return "writing the manifest";
  }
}

function parseJobs(text: string | undefined): number {
  if (text === undefined) return Math.max(1, Math.min(8, availableParallelism() - 1));
  const jobs = Number(text);
  if (!/^[0-9]+$/.test(text) || jobs < 1 || jobs > 256) {
    throw new LambdaImgError(
      "USAGE_INVALID",
      `--jobs: expected a number from 1 to 256, found ${JSON.stringify(text)}`,
    );
  }
  return jobs;
}
