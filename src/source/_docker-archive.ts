/** Images in archives that `docker save` writes: manifest.json names a config and layers by path. */
import { asDiffId, parseDigest, sha256Digest } from "../base/digest.ts";
import { definite, LambdaImgError } from "../base/error.ts";
import { LAYER_COUNT_MAX } from "../base/limit.ts";
import { parseDockerManifest, type DockerArchiveImage } from "../oci/docker-archive.ts";
import { checkLayerCount, parseImageConfig } from "../oci/image-config.ts";
import { checkDigest, checkPlatform, type PlatformChoice } from "./choose-manifest.ts";
import { FilesImage, layerLabel } from "./_files-image.ts";
import type { ImageFiles } from "./_image-files.ts";
import type { OciImage } from "./oci-image.ts";

/**
 * Opens an image of the archive; the image then owns `files`. Each layer is verified by its diff ID alone.
 * @throws IMAGE_NOT_FOUND, SOURCE_NOT_FOUND, OCI_INVALID, DIGEST_MISMATCH, PLATFORM_NOT_FOUND, PLATFORM_UNSUPPORTED
 */
export async function openDockerImage(
  files: ImageFiles,
  name: string | undefined,
  choice: PlatformChoice,
): Promise<OciImage> {
  if (!(await files.has("manifest.json"))) throw notDockerArchive(files.label);
  const where = `${files.label}: manifest.json`;
  const images = parseDockerManifest(
    await files.readDocument({ path: "manifest.json", label: where }),
    where,
  );
  const image = selectImage(images, name, files.label);
  if (image.layerPaths.length > LAYER_COUNT_MAX) {
    throw new LambdaImgError(
      "DOCUMENT_TOO_LARGE",
      `${where}: too many layers: the limit is ${LAYER_COUNT_MAX}`,
    );
  }
  const label = `image config ${JSON.stringify(image.configPath.slice(0, 200))}`;
  const bytes = await files.readDocument({ path: image.configPath, label });
  // The config's name is its digest: `<hex>.json`, or a path of an image layout.
  const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(image.configPath)?.[1];
  if (named !== undefined) checkDigest(bytes, parseDigest(`sha256:${named}`, label), label);
  const config = parseImageConfig(bytes, label);
  checkLayerCount(config, image.layerPaths.length, where);
  checkPlatform(config.platform, choice, files.label);
  const layers = image.layerPaths.map((path, layerIndex) => {
    const diffId = asDiffId(definite(config.diffIds[layerIndex], "a diff ID for each layer"));
    const layer = layerLabel(layerIndex, diffId);
    return { path, label: layer, descriptor: { layerIndex, diffId, stored: undefined, label: layer } };
  });
  return new FilesImage({ files, sourceDigest: sha256Digest(bytes), config, layers });
}

function selectImage(
  images: readonly DockerArchiveImage[],
  name: string | undefined,
  label: string,
): DockerArchiveImage {
  const names = [...new Set(images.flatMap((image) => image.names))];
  const shown = names.slice(0, 30).map((each) => JSON.stringify(each));
  const list = names.length === 0 ? "the images have no names" : `there are: ${shown.join(", ")}`;
  if (name === undefined) {
    const [only, ...others] = images;
    if (only !== undefined && others.length === 0) return only;
    const why =
      only === undefined ? "no image: manifest.json is empty" : `${images.length} images, name one; ${list}`;
    throw new LambdaImgError("IMAGE_NOT_FOUND", `${label}: ${why}`);
  }
  const wanted = fullName(name);
  const found = images.find((image) => image.names.some((each) => fullName(each) === wanted));
  if (found !== undefined) return found;
  throw new LambdaImgError(
    "IMAGE_NOT_FOUND",
    `${label}: no image with the name ${JSON.stringify(name)}; ${list}`,
  );
}

/** `app` is `docker.io/library/app:latest`, as docker reads it; archives have the short form. */
function fullName(name: string): string {
  const short = name.replace(/^(?:index\.)?docker\.io\//, "").replace(/^library\//, "");
  return /:[^/]*$/.test(short) ? short : `${short}:latest`;
}

function notDockerArchive(label: string): LambdaImgError {
  return new LambdaImgError(
    "OCI_INVALID",
    `${label}: not a docker-archive: the file manifest.json is missing (for an OCI layout in a tar, use oci-archive:)`,
  );
}
