/** Image manifests (image-spec manifest.md; Docker image manifest version 2, schema 2). */
import { LambdaImgError } from "../base/error.ts";
import { LAYER_COUNT_MAX } from "../base/limit.ts";
import { elements, member, placeOf, requiredMember, type JsonAt } from "./_json.ts";
import { parseDescriptor, type Descriptor } from "./descriptor.ts";
import { checkConfigMediaType, checkLayerMediaType } from "./media-type.ts";

/** A config and layers, base first. */
export interface ImageManifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** Reads the members of an image manifest; image-document.ts has made sure that it is one. */
export function parseImageManifest(at: JsonAt): ImageManifest {
  const configAt = requiredMember(at, "config");
  const config = parseDescriptor(configAt);
  // Before the layers: those of an artifact are no layers, and saying so would not help.
  checkConfigMediaType(config.mediaType, placeOf(configAt));
  const layersAt = elements(member(at, "layers"));
  if (layersAt.length > LAYER_COUNT_MAX) {
    throw new LambdaImgError(
      "DOCUMENT_TOO_LARGE",
      `${at.document}: too many layers: the limit is ${LAYER_COUNT_MAX}, found ${layersAt.length}`,
      { details: { limit: LAYER_COUNT_MAX, found: layersAt.length } },
    );
  }
  const layers = layersAt.map((layerAt) => {
    const layer = parseDescriptor(layerAt);
    checkLayerMediaType(layer.mediaType, placeOf(layerAt));
    return layer;
  });
  return { config, layers };
}
