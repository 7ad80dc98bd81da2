/** The file `oci-layout` of an image layout (image-spec image-layout.md). */
import { LambdaImgError } from "../base/error.ts";
import { parseDocument, requiredMember, stringOf } from "./_json.ts";

/** @throws OCI_INVALID where it is no such file; MEDIA_TYPE_UNSUPPORTED where the layout is of another version */
export function parseLayoutVersion(bytes: Uint8Array, where: string): void {
  const version = stringOf(requiredMember(parseDocument(bytes, where), "imageLayoutVersion"));
  if (version === "1.0.0") return;
  throw new LambdaImgError(
    "MEDIA_TYPE_UNSUPPORTED",
    `${where}: unsupported imageLayoutVersion: expected 1.0.0, found ${JSON.stringify(version.slice(0, 100))}`,
  );
}
