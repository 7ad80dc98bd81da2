/** The part of an image config (image-spec config.md) that this program uses, as plain typed values. */
import { compareByteStrings, utf8ByteString } from "../base/bytes.ts";
import { asDiffId, parseDigest, type DiffId } from "../base/digest.ts";
import { LambdaImgError } from "../base/error.ts";
import {
  elements,
  invalid,
  member,
  members,
  optionalString,
  parseDocument,
  placeOf,
  requiredMember,
  show,
  stringOf,
  stringsOf,
  type JsonAt,
} from "./_json.ts";
import { parsePlatformObject } from "./descriptor.ts";
import { checkLinux, type Platform } from "./platform.ts";

/** What a container of the image starts with. Absent fields are empty. */
export interface RunConfig {
  readonly user: string;
  readonly workingDir: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** In byte order. */
  readonly exposedPorts: readonly string[];
  /** In byte order. */
  readonly volumes: readonly string[];
  readonly stopSignal: string;
  /** In byte order of the key. */
  readonly labels: readonly (readonly [string, string])[];
}

/** A config: its platform, what runs, and the digests of the uncompressed layers, base first. */
export interface ImageConfig {
  readonly platform: Platform;
  readonly run: RunConfig;
  readonly diffIds: readonly DiffId[];
}

/**
 * Reads an image config. `where` names it: `image config sha256:…`.
 * @throws OCI_INVALID, DIGEST_UNSUPPORTED; PLATFORM_UNSUPPORTED where it is not for linux
 */
export function parseImageConfig(bytes: Uint8Array, where: string): ImageConfig {
  const at = parseDocument(bytes, where);
  const platform = parsePlatformObject(at);
  checkLinux(platform, where);
  return { platform, run: parseRunConfig(member(at, "config")), diffIds: parseDiffIds(at) };
}

/** @throws OCI_INVALID where the config has not one diff ID for each layer of the manifest */
export function checkLayerCount(config: ImageConfig, layerCount: number, where: string): void {
  if (config.diffIds.length === layerCount) return;
  throw new LambdaImgError(
    "OCI_INVALID",
    `${where}: the numbers of layers differ: the manifest has ${layerCount} layers, the config ${config.diffIds.length} diff_ids`,
    { details: { layers: layerCount, diffIds: config.diffIds.length } },
  );
}

function parseDiffIds(at: JsonAt): readonly DiffId[] {
  const rootfs = requiredMember(at, "rootfs");
  const type = requiredMember(rootfs, "type");
  if (type.value !== "layers") throw invalid(type, `expected "layers", found ${show(type.value)}`);
  return elements(member(rootfs, "diff_ids")).map((diffId) =>
    asDiffId(parseDigest(diffId.value, placeOf(diffId))),
  );
}

function parseRunConfig(at: JsonAt | undefined): RunConfig {
  const field = (name: string): JsonAt | undefined => (at === undefined ? undefined : member(at, name));
  const labels = members(field("Labels")).map(
    ([name, value]) => [name, value.value === null ? "" : stringOf(value)] as const,
  );
  return {
    user: optionalString(field("User")),
    workingDir: optionalString(field("WorkingDir")),
    env: stringsOf(field("Env")),
    entrypoint: stringsOf(field("Entrypoint")),
    cmd: stringsOf(field("Cmd")),
    exposedPorts: namesOf(field("ExposedPorts")),
    volumes: namesOf(field("Volumes")),
    stopSignal: optionalString(field("StopSignal")),
    labels: labels.sort(([left], [right]) => compareText(left, right)),
  };
}

/** The names of an object's members: Go's form of a set. */
function namesOf(at: JsonAt | undefined): readonly string[] {
  return members(at)
    .map(([name]) => name)
    .sort(compareText);
}

/** Byte order of the UTF-8 forms, which is not JavaScript's order (that of UTF-16). */
function compareText(left: string, right: string): number {
  return compareByteStrings(utf8ByteString(left), utf8ByteString(right));
}
