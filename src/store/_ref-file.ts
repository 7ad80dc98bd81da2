/** The files of refs: image name and manifest id. docs/format/store.md, "Refs". */
import { join } from "node:path";

import { definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { parseManifestId } from "../manifest/manifest-id.ts";
import { imageFileName } from "./image-name.ts";
import type { ImageRef } from "./store.ts";
import { parseSmallJson, readSmallFile } from "./_layout.ts";

/** The bytes of a ref's file. */
export function encodeRef(ref: ImageRef): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ image: ref.imageName, manifest: ref.manifestId })}\n`);
}

/** The refs in byte order of their names. */
export function sortRefs(refs: Iterable<ImageRef>): readonly ImageRef[] {
  return Array.from(refs, (ref) => ({ ref, order: new TextEncoder().encode(ref.imageName) }))
    .sort((left, right) => compareBytes(left.order, right.order))
    .map(({ ref }) => ref);
}

/**
 * The ref in a file, or `undefined` where there is none.
 * @throws STORE_INVALID where the file is no ref, or that of another name
 */
export async function readRef(directory: string, fileName: string): Promise<ImageRef | undefined> {
  const path = join(directory, fileName);
  const bytes = await readSmallFile(path);
  if (bytes === undefined) return undefined;
  const members = parseSmallJson(bytes, path);
  const imageName = members.get("image");
  const manifest = members.get("manifest");
  const manifestId = typeof manifest === "string" ? parseManifestId(manifest) : undefined;
  if (typeof imageName !== "string" || manifestId === undefined || fileNameOf(imageName) !== fileName) {
    throw new LambdaImgError("STORE_INVALID", `${path}: not the ref of an image`, { details: { path } });
  }
  return { imageName, manifestId };
}

function fileNameOf(imageName: string): string | undefined {
  try {
    return imageFileName(imageName);
  } catch (error) {
    if (isLambdaImgError(error, "REFERENCE_INVALID")) return undefined;
    throw error;
  }
}

function compareBytes(left: Uint8Array, right: Uint8Array): number {
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at++) {
    const difference = definite(left[at], "within both") - definite(right[at], "within both");
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
