/** Image indexes (image-spec image-index.md) and Docker manifest lists. */
import { elements, member, type JsonAt } from "./_json.ts";
import { parseDescriptor, type Descriptor } from "./descriptor.ts";

/** The images, or further indexes, that an index names. */
export interface ImageIndex {
  readonly manifests: readonly Descriptor[];
}

/** Reads the members of an index; image-document.ts has made sure that it is one. */
export function parseImageIndex(at: JsonAt): ImageIndex {
  return { manifests: elements(member(at, "manifests")).map(parseDescriptor) };
}
