// ⚡ uses: process, time
/** `lambda-img convert`. */
import { availableParallelism } from "node:os";

import { compileLater } from "../base/compile-later.ts";
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { LAYER_BYTES_MAX_DEFAULT } from "../base/limit.ts";
import { showBytes } from "../base/units.ts";
import { CHUNK_BYTES } from "../chunk/chunk.ts";
import { convertImage, type ConversionResult, type Progress } from "../convert/convert-image.ts";
import type { SpareThread } from "../convert/spare-thread.ts";
import { WorkerSealer } from "../convert/worker-sealer.ts";
import { LayerThreads } from "../layer/layer-threads.ts";
import { openLayer } from "../layer/open-layer.ts";
import { saltOf } from "../crypto/salt.ts";
import { parseManifestId } from "../manifest/manifest-id.ts";
import { hostPlatform } from "../oci/host-platform.ts";
import { parsePlatform, showPlatform, type Platform } from "../oci/platform.ts";
import type { RegistryOptions } from "../registry/registry-client.ts";
import type { SizeRequest } from "../ext4/geometry.ts";
import { parseMtimePolicy, showMtimePolicy, type MtimePolicy } from "../tree/mtime-policy.ts";
import { openImage } from "../source/open-image.ts";
import type { OciImage } from "../source/oci-image.ts";
import { defaultImageName, parseImageReference, type ImageReference } from "../source/reference.ts";
import { imageFileName } from "../store/image-name.ts";
import { openContext, type CommonOptions } from "./context.ts";
import { dryRun, registryOptions, type RegistryCliOptions } from "./_registry.ts";
import { keepFreedMemory } from "./keep-freed-memory.ts";
import type { Output } from "./output.ts";
import { parseSize, parseSizeRequest } from "./parse-size.ts";

/** The command's options as commander gives them. */
export interface ConvertOptions extends CommonOptions, RegistryCliOptions {
  readonly dryRun?: boolean;
  readonly allPlatforms?: boolean;
  readonly name?: string;
  readonly platform?: string;
  readonly size: string;
  readonly mtime?: string;
  /** False for --no-reuse. */
  readonly reuse?: boolean;
  readonly maxLayerSize?: string;
  readonly jobs?: string;
}

/** What the words of the command line mean. */
interface Job {
  readonly options: ConvertOptions;
  readonly reference: ImageReference;
  readonly registry: RegistryOptions | undefined;
  readonly sizeRequest: SizeRequest;
  readonly mtimePolicy: MtimePolicy;
  readonly layerBytesMax: number;
  readonly jobs: number;
  readonly imageName: string;
  readonly platform: Platform | undefined;
}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
  /** A thread that is starting already; the conversion's own. */
  readonly spare: SpareThread | undefined;
}

/** What there is to say of one image. */
interface Outcome {
  readonly json: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Converts and prints what came of it. */
export async function convert(reference: string, options: ConvertOptions, use: Use): Promise<void> {
  keepFreedMemory();
  try {
    const job = await parseJob(reference, options, use.signal);
    if (options.mtime === undefined && job.mtimePolicy.kind !== "preserve") {
      use.output.note(`SOURCE_DATE_EPOCH is set: --mtime ${showMtimePolicy(job.mtimePolicy)}`);
    }
    await convertJob(job, use);
  } finally {
    await use.spare?.close();
    compileLater(false);
  }
}

async function convertJob(job: Job, use: Use): Promise<void> {
  if (job.options.allPlatforms !== true) {
    const { json, text } = await convertOne(job, use);
    use.output.result(json, () => text);
    return;
  }
  const outcomes: Outcome[] = [];
  for (const each of await jobsOfPlatforms(job, use)) outcomes.push(await convertOne(each, use));
  const images = outcomes.map(({ json }) => json);
  use.output.result({ command: "convert", images }, () => outcomes.map(({ text }) => text).join(""));
}

async function parseJob(text: string, options: ConvertOptions, signal: AbortSignal): Promise<Job> {
  const reference = parseImageReference(text);
  const imageName = options.name ?? defaultImageName(reference);
  checkName(imageName);
  if (options.allPlatforms === true && options.platform !== undefined) {
    throw new LambdaImgError("USAGE_INVALID", "--all-platforms: expected no --platform beside it");
  }
  return {
    options,
    reference,
    imageName,
    sizeRequest: parseSizeRequest(options.size),
    mtimePolicy: chooseMtimePolicy(options.mtime, process.env["SOURCE_DATE_EPOCH"]),
    layerBytesMax:
      options.maxLayerSize === undefined
        ? LAYER_BYTES_MAX_DEFAULT
        : parseSize(options.maxLayerSize, "--max-layer-size"),
    jobs: parseJobs(options.jobs),
    platform: options.platform === undefined ? undefined : parsePlatform(options.platform),
    registry: await registryOptions(reference, options, signal),
  };
}

/**
 * One job for each platform for Linux that the image's index names, with a name of its own (`app-arm64`); the job as
 * it is where there is no index.
 */
async function jobsOfPlatforms(job: Job, { signal }: Use): Promise<readonly Job[]> {
  const platforms = new Map<string, Platform>();
  const onPlatform = (platform: Platform): void => {
    if (platform.os === "linux") platforms.set(showPlatform(platform), platform);
  };
  try {
    await (
      await openImage(job.reference, { ...job, defaultPlatform: hostPlatform(), signal, onPlatform })
    ).close();
  } catch (error) {
    // There need not be one for this machine.
    if (!isLambdaImgError(error, "PLATFORM_NOT_FOUND") || platforms.size === 0) throw error;
  }
  if (platforms.size === 0) return [job];
  return [...platforms.values()].map((platform) => {
    const { architecture, variant } = platform;
    return {
      ...job,
      platform,
      imageName: [job.imageName, architecture, ...(variant ? [variant] : [])].join("-"),
    };
  });
}

async function convertOne(job: Job, use: Use): Promise<Outcome> {
  try {
    return await convertOnce(job, use);
  } catch (error) {
    // Without reuse every chunk is made anew, and replaces one that was damaged.
    if (job.options.reuse === false || !isLambdaImgError(error, "CHUNK_CORRUPT")) throw error;
    use.output.warn(`${error.message}; reading all layers to mend it`);
    return convertOnce({ ...job, options: { ...job.options, reuse: false } }, use);
  }
}

async function convertOnce(job: Job, use: Use): Promise<Outcome> {
  const startedMs = performance.now();
  const { output, signal, spare } = use;
  const { imageName, reference } = job;
  const image = await openImage(reference, { ...job, defaultPlatform: hostPlatform(), signal });
  try {
    if (job.options.dryRun === true) return dryRun(image, { reference, imageName });
    const context = await openContext(job.options, { create: true, output });
    const { saltParameters } = context.store.activeRoot();
    const mayReuse = job.options.reuse !== false;
    const place = await context.store.beginWriting({ isComparing: !mayReuse });
    const sealer = new WorkerSealer(job.jobs, saltOf(saltParameters), place, spare);
    const layers = new LayerThreads();
    try {
      const result = await convertImage({
        ...{ image, imageName, sealer, signal, store: context.store, keyring: context.keyring },
        // With one sealing thread there are two processors or one: threads for layers would take from it.
        openLayer: (stream, options) =>
          job.jobs > 1
            ? layers.open(stream, options)
            : openLayer(stream, { ...options, hashTar: (layer) => sealer.hashTar(layer) }),
        onLayersRead: () => layers.close(),
        sizeRequest: job.sizeRequest,
        mtimePolicy: job.mtimePolicy,
        mayReuse,
        layerBytesMax: job.layerBytesMax,
        onProgress: (progress) => {
          output.status(() => showProgress(progress));
        },
      });
      const seconds = Math.round(performance.now() - startedMs) / 1000;
      return outcomeOf(result, { image, imageName, output, seconds });
    } finally {
      await Promise.all([sealer.close(), layers.close()]);
      await context.store.close();
    }
  } finally {
    await image.close();
  }
}

function outcomeOf(
  result: ConversionResult,
  run: {
    readonly image: OciImage;
    readonly imageName: string;
    readonly output: Output;
    readonly seconds: number;
  },
): Outcome {
  const { image, imageName, output, seconds } = run;
  const { chunks } = result;
  if (result.clampedTimeCount > 0) {
    output.warn(
      `${result.clampedTimeCount} files have a time that ext4 cannot hold (1901 to 2446); they have the nearest it can`,
    );
  }
  const sizeBytes = result.diskChunkCount * CHUNK_BYTES;
  const platform = showPlatform(image.config.platform);
  const json = {
    command: "convert",
    name: imageName,
    manifest: result.manifestId,
    sourceDigest: image.sourceDigest,
    platform,
    disk: { sizeBytes, digest: result.diskDigest },
    chunks: { total: result.diskChunkCount, ...chunks },
    bytes: { pulled: image.pulledBytes(), layers: result.layerBytes, new: result.storedBytes },
    layers: { total: image.layers.length, reused: result.reusedLayerCount },
    clampedTimes: result.clampedTimeCount,
    seconds,
  };
  const text = [
    `${imageName}: ${result.manifestId}`,
    `  source    ${image.sourceDigest} (${platform}, ${image.layers.length} layers, ${result.reusedLayerCount} of them known, ${showBytes(result.layerBytes)} read)`,
    `  disk      ${showBytes(sizeBytes)}, digest ${result.diskDigest}`,
    `  chunks    ${result.diskChunkCount}: ${chunks.zero} zero, ${chunks.unique} unique, of these ${chunks.new} new and ${chunks.reused} there before; ${chunks.kept} more kept for reuse`,
    `  stored    ${showBytes(result.storedBytes)} in ${seconds} s`,
    "",
  ].join("\n");
  return { json, text };
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

/** What the option says; without it, what reproducible-builds.org has every tool do with SOURCE_DATE_EPOCH. */
function chooseMtimePolicy(option: string | undefined, sourceDateEpoch: string | undefined): MtimePolicy {
  if (option === undefined && (sourceDateEpoch === undefined || sourceDateEpoch === ""))
    return { kind: "preserve" };
  const policy = parseMtimePolicy(option ?? `clamp:${sourceDateEpoch}`);
  if (policy !== undefined) return policy;
  throw new LambdaImgError(
    "USAGE_INVALID",
    option === undefined
      ? `SOURCE_DATE_EPOCH: expected seconds since 1970, found ${JSON.stringify(sourceDateEpoch)}`
      : `--mtime: expected preserve, zero or clamp:SECONDS, found ${JSON.stringify(option)}`,
  );
}

function parseJobs(text: string | undefined): number {
  // Three layers inflate at a time, as fast as three threads seal (docs/architecture.md, "Threads").
  if (text === undefined) return Math.max(1, Math.min(4, availableParallelism() - 1));
  const jobs = Number(text);
  if (!/^[0-9]+$/.test(text) || jobs < 1 || jobs > 256) {
    throw new LambdaImgError(
      "USAGE_INVALID",
      `--jobs: expected a number from 1 to 256, found ${JSON.stringify(text)}`,
    );
  }
  return jobs;
}
