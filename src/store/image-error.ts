/** Failures to read an image: they name it, so that users know what to convert again. */
import { LambdaImgError } from "../base/error.ts";

/** The error as a failure of one image. Throws what is none: a store that is gone, a signal, a bug. */
export function imageFailure(error: unknown): LambdaImgError {
  if (!(error instanceof LambdaImgError)) throw error;
  if (error.code === "STORE_NOT_FOUND" || error.kind === "cancelled") throw error;
  return error;
}

/** The same with the image, a name or a manifest id, in message and details. */
export function imageError(error: unknown, image: string): LambdaImgError {
  const failure = imageFailure(error);
  const { code, message, details } = failure;
  // Said already: by the store of a name, or of the manifest that was asked for by its id.
  if (details["image"] === image || details["manifest"] === image) return failure;
  return new LambdaImgError(code, `${image}: ${message}`, { details: { ...details, image }, cause: error });
}
