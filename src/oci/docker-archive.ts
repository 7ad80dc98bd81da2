/** The file `manifest.json` of archives that `docker save` writes (Docker image specification v1.2). */
import { elements, member, parseArrayDocument, requiredMember, stringOf, stringsOf } from "./_json.ts";

/** One image of the archive: paths inside it, and its names. */
export interface DockerArchiveImage {
  readonly configPath: string;
  readonly names: readonly string[];
  /** Base first. */
  readonly layerPaths: readonly string[];
}

/** @throws OCI_INVALID */
export function parseDockerManifest(bytes: Uint8Array, where: string): readonly DockerArchiveImage[] {
  return parseArrayDocument(bytes, where).map((at) => ({
    configPath: stringOf(requiredMember(at, "Config")),
    names: stringsOf(member(at, "RepoTags")),
    layerPaths: elements(member(at, "Layers")).map(stringOf),
  }));
}
