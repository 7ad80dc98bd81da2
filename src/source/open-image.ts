/** Opens the image a reference names, wherever it lies. */
import { throwIfCancelled } from "../base/cancel.ts";
import type { Platform } from "../oci/platform.ts";
import type { RegistryOptions } from "../registry/registry-client.ts";
import { ArchiveFiles } from "./_archive-files.ts";
import { DirectoryFiles } from "./_directory-files.ts";
import { openDockerImage } from "./_docker-archive.ts";
import type { ImageFiles } from "./_image-files.ts";
import { openLayoutImage } from "./_oci-layout.ts";
import type { OciImage } from "./oci-image.ts";
import type { ImageReference } from "./reference.ts";

/** How an image is chosen where there are several. */
export interface OpenImageOptions {
  /** Asked for by the user: the image must be for it. */
  readonly platform: Platform | undefined;
  /** What is taken from an index where the user asked for none; an image without index is taken as it is. */
  readonly defaultPlatform: Platform;
  /** How registries are reached; without it as nobody, and directly. */
  readonly registry?: RegistryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told of each platform that an entry of the image's indexes names, until one is chosen. */
  onPlatform?(platform: Platform): void;
}

/**
 * Opens an image: its documents are read and verified, its layers are not yet touched. Close it once.
 * @throws SOURCE_NOT_FOUND, SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE, IMAGE_NOT_FOUND, PLATFORM_NOT_FOUND, OCI_INVALID,
 *   ARCHIVE_INVALID, SIZE_MISMATCH, DIGEST_MISMATCH, DOCUMENT_TOO_LARGE, CANCELLED; *_UNSUPPORTED for what is not read;
 *   REGISTRY_* and CREDENTIALS_INVALID for registries
 */
export async function openImage(reference: ImageReference, options: OpenImageOptions): Promise<OciImage> {
  throwIfCancelled(options.signal);
  if (reference.kind === "registry") {
    // Loaded on use: with it come TLS and HTTP, which take as long as opening a layout does.
    const { openRegistryImage } = await import("./_registry-image.ts");
    return openRegistryImage(reference, options);
  }
  const files =
    reference.kind === "oci"
      ? await DirectoryFiles.open(reference.path)
      : await ArchiveFiles.open(reference.path, { signal: options.signal });
  try {
    return await openFrom(files, reference, options);
  } catch (error) {
    await files.close();
    throw error;
  }
}

function openFrom(
  files: ImageFiles,
  reference: Exclude<ImageReference, { kind: "registry" }>,
  options: OpenImageOptions,
): Promise<OciImage> {
  switch (reference.kind) {
    case "oci":
      return openLayoutImage(files, { tag: reference.tag, digest: reference.digest }, options);
    case "oci-archive":
      return openLayoutImage(files, { tag: reference.tag }, options);
    case "docker-archive":
      return openDockerImage(files, reference.name, options);
  }
}
