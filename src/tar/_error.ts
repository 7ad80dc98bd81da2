/** Failures of a tar: every message says which layer and where in its tar. */
import type { ErrorCode, ErrorDetails } from "../base/error.ts";
import { LambdaImgError } from "../base/error.ts";

/** Where the parser is: the layer's name, and the offset of the header block it works on. */
export interface TarPlace {
  readonly label: string;
  readonly offsetBytes: number;
}

/** The error `code` at `place`; the caller throws it. */
export function tarError(
  place: TarPlace,
  code: ErrorCode,
  message: string,
  details: ErrorDetails = {},
): LambdaImgError {
  return new LambdaImgError(code, `${place.label}: tar offset ${place.offsetBytes}: ${message}`, {
    details: { layer: place.label, offsetBytes: place.offsetBytes, ...details },
  });
}

/** TAR_INVALID: the tar breaks its format. */
export function tarInvalid(place: TarPlace, message: string): LambdaImgError {
  return tarError(place, "TAR_INVALID", message);
}
