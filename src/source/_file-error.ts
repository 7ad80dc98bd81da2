/** Refusals that every kind of source shares. */
import { LambdaImgError, type ErrorCode } from "../base/error.ts";
import { DOCUMENT_BYTES_MAX } from "../base/limit.ts";
import { showBytes } from "../base/units.ts";

/** A file system's error in our words; `label` says what was to be read. Errors of ours pass. */
export function fileError(cause: unknown, label: string, path: string): unknown {
  if (!(cause instanceof Error) || !("code" in cause) || cause instanceof LambdaImgError) return cause;
  const code = String(cause.code);
  const [ours, words] =
    FILE_ERRORS.get(code) ?? (["SOURCE_UNAVAILABLE", `cannot be read (${code})`] as const);
  return new LambdaImgError(ours, `${label}: ${words}: ${path}`, { cause, details: { path } });
}

/** A file that is not there. */
export function notFound(label: string, path: string): LambdaImgError {
  return new LambdaImgError("SOURCE_NOT_FOUND", `${label}: not found: ${path}`, { details: { path } });
}

/** A document above the limit. */
export function documentTooLarge(label: string, foundBytes: number): LambdaImgError {
  return new LambdaImgError(
    "DOCUMENT_TOO_LARGE",
    `${label}: document too large: the limit is ${showBytes(DOCUMENT_BYTES_MAX)}, found ${showBytes(foundBytes)}`,
    { details: { limitBytes: DOCUMENT_BYTES_MAX, foundBytes } },
  );
}

const FILE_ERRORS: ReadonlyMap<string, readonly [ErrorCode, string]> = new Map([
  ["ENOENT", ["SOURCE_NOT_FOUND", "not found"]],
  ["ENOTDIR", ["SOURCE_NOT_FOUND", "not found"]],
  ["ELOOP", ["SOURCE_NOT_FOUND", "not found (a loop of symbolic links)"]],
  ["ENAMETOOLONG", ["SOURCE_NOT_FOUND", "not found (the name is too long)"]],
  ["EACCES", ["SOURCE_FORBIDDEN", "permission denied"]],
  ["EPERM", ["SOURCE_FORBIDDEN", "permission denied"]],
]);
