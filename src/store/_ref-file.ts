/** The files of refs: image name and manifest id. docs/format/store.md, "Refs". */
import { join } from "node:path";

import { asByteString, fromByteString, showByteString, utf8ByteString } from "../base/bytes.ts";
import { definite, isLambdaImgError, LambdaImgError } from "../base/error.ts";
import { parseManifestId } from "../manifest/manifest-id.ts";
import { imageFileName } from "./image-name.ts";
import type { ImageRef, ListedRef } from "./store.ts";
import { storeError } from "./_file.ts";
import { parseSmallJson, readSmallFile } from "./_layout.ts";

/** The bytes of a ref's file. */
export function encodeRef(ref: ImageRef): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ image: ref.imageName, manifest: ref.manifestId })}\n`);
}

/** The refs in byte order of their names. */
export function sortRefs(refs: Iterable<ListedRef>): readonly ListedRef[] {
  return Array.from(refs, (ref) => ({ ref, order: new TextEncoder().encode(ref.imageName) }))
    .sort((left, right) => compareBytes(left.order, right.order))
    .map(({ ref }) => ref);
}

/**
 * The ref in a file, or `undefined` where there is none. One that cannot be read is told under `imageName`; where the
 * caller does not know the name, under the one that the file's name, or what is left of its content, gives.
 */
export async function readRef(
  directory: string,
  { fileName, imageName }: { readonly fileName: string; readonly imageName?: string },
): Promise<ListedRef | undefined> {
  const path = join(directory, fileName);
  let name = imageName ?? imageNameOf(fileName);
  try {
    const bytes = await readSmallFile(path);
    if (bytes === undefined) return undefined;
    const members = parseSmallJson(bytes, path);
    const found = members.get("image");
    const manifest = members.get("manifest");
    const manifestId = typeof manifest === "string" ? parseManifestId(manifest) : undefined;
    const isOfFile = typeof found === "string" && fileNameOf(found) === fileName;
    if (isOfFile) name = found;
    if (isOfFile && manifestId !== undefined) return { imageName: found, manifestId };
    throw new LambdaImgError("STORE_INVALID", `${path}: not the ref of an image`, { details: { path } });
  } catch (error) {
    const failure = storeError(error, path);
    if (!isLambdaImgError(failure)) throw failure;
    return unreadable(name ?? showByteString(utf8ByteString(fileName)), failure);
  }
}

function unreadable(imageName: string, { code, message, details, cause }: LambdaImgError): ListedRef {
  const error = new LambdaImgError(code, `${imageName}: cannot read the ref: ${message}`, {
    details: { ...details, image: imageName },
    cause,
  });
  return { imageName, error };
}

/** The image name that has this file name; `undefined` where only a digest is left of it, or where none has it. */
function imageNameOf(fileName: string): string | undefined {
  if (!/^[a-z0-9_.%-]+$/.test(fileName)) return undefined;
  const bytes = fileName.replace(/%([0-9a-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  const imageName = new TextDecoder().decode(fromByteString(asByteString(bytes)));
  return fileNameOf(imageName) === fileName ? imageName : undefined;
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
