/**
 * What a manifest keeps of the image: enough to run it and to say where it came from. Its one encoding is
 * canonical JSON (RFC 8785). docs/format/manifest.md, "Image record".
 */
import { isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { asDiffId, parseDigest, type DiffId, type Digest } from "../base/digest.ts";
import { equalBytes } from "../base/bytes.ts";
import { IMAGE_RECORD_BYTES_MAX } from "../base/limit.ts";
import { canonicalJson } from "./_canonical-json.ts";

/** What a container of the image starts with; the shape of oci/image-config.ts, which this storey cannot import. */
export interface RunRecord {
  readonly user: string;
  readonly workingDir: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly volumes: readonly string[];
  readonly stopSignal: string;
  /** Keys differ from each other; written in the order of their code points. */
  readonly labels: readonly (readonly [string, string])[];
}

/** The platform of the image that was converted. */
export interface PlatformRecord {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** Where a layer's segment lies on the disk, in chunks. */
export interface SegmentRecord {
  readonly firstChunk: number;
  /** 0 for a layer without bytes of files. */
  readonly chunkCount: number;
}

/** The image behind a disk image. */
export interface ImageRecord {
  /** chunk/disk-digest.ts. */
  readonly diskDigest: Digest;
  /** Version of the disk image's layout. */
  readonly layoutVersion: number;
  /** Base first. */
  readonly layerDiffIds: readonly DiffId[];
  readonly platform: PlatformRecord;
  readonly run: RunRecord;
  /** One for each of `layerDiffIds`. */
  readonly segments: readonly SegmentRecord[];
  /** The image manifest's digest; of a docker-archive, the config's. */
  readonly sourceDigest: Digest;
  /** What the user chose that changes the disk image. */
  readonly options: { readonly mtime: string; readonly sizeRequest: string };
}

/**
 * The record as canonical JSON in UTF-8.
 * @throws DOCUMENT_TOO_LARGE
 */
export function encodeImageRecord(record: ImageRecord): Uint8Array {
  const { run, platform, options } = record;
  const text = canonicalJson({
    diskDigest: record.diskDigest,
    layerDiffIds: [...record.layerDiffIds],
    layoutVersion: record.layoutVersion,
    options: { mtime: options.mtime, sizeRequest: options.sizeRequest },
    platform: {
      architecture: platform.architecture,
      os: platform.os,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    },
    run: {
      cmd: [...run.cmd],
      entrypoint: [...run.entrypoint],
      env: [...run.env],
      exposedPorts: [...run.exposedPorts],
      labels: run.labels
        .map(([key, value]) => [key, value])
        .sort((left, right) => compareCodePoints(left[0] ?? "", right[0] ?? "")),
      stopSignal: run.stopSignal,
      user: run.user,
      volumes: [...run.volumes],
      workingDir: run.workingDir,
    },
    segments: record.segments.map(({ firstChunk, chunkCount }) => [firstChunk, chunkCount]),
    sourceDigest: record.sourceDigest,
  });
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > IMAGE_RECORD_BYTES_MAX) throw tooLarge(bytes.length);
  return bytes;
}

/**
 * Reads a record; only the canonical form is one.
 * @throws MANIFEST_INVALID, DOCUMENT_TOO_LARGE
 */
export function parseImageRecord(bytes: Uint8Array): ImageRecord {
  if (bytes.length > IMAGE_RECORD_BYTES_MAX) throw tooLarge(bytes.length);
  const record = recordOf(parseJson(bytes));
  // One comparison refuses unknown and repeated keys, white space, other orders and other escapes.
  if (!equalBytes(encodeImageRecord(record), bytes)) throw invalid("not in canonical form");
  return record;
}

function recordOf(value: unknown): ImageRecord {
  const record = objectOf(value, "image record");
  const platform = objectOf(record["platform"], "platform");
  const options = objectOf(record["options"], "options");
  const variant = platform["variant"];
  const layerDiffIds = listOf(record["layerDiffIds"], "layerDiffIds").map((item, index) =>
    asDiffId(digestOf(item, `layerDiffIds[${index}]`)),
  );
  return {
    diskDigest: sha256Of(record["diskDigest"], "diskDigest"),
    layoutVersion: wholeNumberOf(record["layoutVersion"], "layoutVersion"),
    layerDiffIds,
    platform: {
      os: textOf(platform["os"], "platform.os"),
      architecture: textOf(platform["architecture"], "platform.architecture"),
      ...(variant === undefined ? {} : { variant: textOf(variant, "platform.variant") }),
    },
    run: runOf(objectOf(record["run"], "run")),
    segments: segmentsOf(record["segments"], layerDiffIds.length),
    sourceDigest: digestOf(record["sourceDigest"], "sourceDigest"),
    options: {
      mtime: textOf(options["mtime"], "options.mtime"),
      sizeRequest: textOf(options["sizeRequest"], "options.sizeRequest"),
    },
  };
}

function runOf(run: Readonly<Record<string, unknown>>): RunRecord {
  return {
    user: textOf(run["user"], "run.user"),
    workingDir: textOf(run["workingDir"], "run.workingDir"),
    env: textsOf(run["env"], "run.env"),
    entrypoint: textsOf(run["entrypoint"], "run.entrypoint"),
    cmd: textsOf(run["cmd"], "run.cmd"),
    exposedPorts: textsOf(run["exposedPorts"], "run.exposedPorts"),
    volumes: textsOf(run["volumes"], "run.volumes"),
    stopSignal: textOf(run["stopSignal"], "run.stopSignal"),
    labels: labelsOf(run["labels"]),
  };
}

function labelsOf(value: unknown): readonly (readonly [string, string])[] {
  const labels = listOf(value, "run.labels").map((item, index): readonly [string, string] => {
    const where = `run.labels[${index}]`;
    const [key, text, ...more] = listOf(item, where);
    if (more.length > 0) throw invalid(`${where}: expected a pair`);
    return [textOf(key, `${where} key`), textOf(text, `${where} value`)];
  });
  labels.forEach(([key], index) => {
    const before = labels[index - 1];
    if (before !== undefined && compareCodePoints(before[0], key) >= 0) {
      throw invalid(`run.labels[${index}]: keys must ascend`);
    }
  });
  return labels;
}

function segmentsOf(value: unknown, layerCount: number): readonly SegmentRecord[] {
  const segments = listOf(value, "segments").map((item, index) => {
    const where = `segments[${index}]`;
    const [firstChunk, chunkCount, ...more] = listOf(item, where);
    if (more.length > 0) throw invalid(`${where}: expected a pair`);
    return { firstChunk: wholeNumberOf(firstChunk, where), chunkCount: wholeNumberOf(chunkCount, where) };
  });
  if (segments.length === layerCount) return segments;
  throw invalid(`segments: expected one for each of ${layerCount} layers, found ${segments.length}`);
}

/** The order of UTF-8 bytes, which that of UTF-16 units is not. */
function compareCodePoints(left: string, right: string): number {
  const ours = Array.from(left);
  const theirs = Array.from(right);
  for (const [at, character] of ours.entries()) {
    const other = theirs[at];
    if (other === undefined) return 1;
    if (character !== other) return (character.codePointAt(0) ?? 0) - (other.codePointAt(0) ?? 0);
  }
  return ours.length - theirs.length;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as unknown;
  } catch {
    // The parser's message quotes the text, which the customer sealed: environment variables hold secrets.
    throw invalid("not JSON in UTF-8");
  }
}

function objectOf(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid(`${where}: expected an object`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function listOf(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${where}: expected a list`);
  return value as readonly unknown[];
}

function textOf(value: unknown, where: string): string {
  if (typeof value !== "string") throw invalid(`${where}: expected a string`);
  return value;
}

function textsOf(value: unknown, where: string): readonly string[] {
  return listOf(value, where).map((item, index) => textOf(item, `${where}[${index}]`));
}

function wholeNumberOf(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(`${where}: expected a whole number`);
  }
  return value;
}

function sha256Of(value: unknown, where: string): Digest {
  const digest = digestOf(value, where);
  if (!digest.startsWith("sha256:")) throw invalid(`${where}: expected a sha256 digest`);
  return digest;
}

function digestOf(value: unknown, where: string): Digest {
  try {
    return parseDigest(value, where);
  } catch (error) {
    if (isLambdaImgError(error)) throw invalid(error.message);
    throw error;
  }
}

function invalid(rule: string): LambdaImgError {
  return new LambdaImgError("MANIFEST_INVALID", `manifest: image record: ${rule}`);
}

function tooLarge(foundBytes: number): LambdaImgError {
  return new LambdaImgError(
    "DOCUMENT_TOO_LARGE",
    `manifest: image record too large: expected at most ${IMAGE_RECORD_BYTES_MAX} bytes, found ${foundBytes}`,
    { details: { limit: IMAGE_RECORD_BYTES_MAX, found: foundBytes } },
  );
}
