/** The part of an image config (image-spec config.md) that this program uses, as plain typed values. */
import type { DiffId } from "../base/digest.ts";
import type { Platform } from "./platform.ts";

/** What a container of the image starts with. Absent fields are empty. */
export interface RunConfig {
  readonly user: string;
  readonly workingDir: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly exposedPorts: readonly string[];
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
