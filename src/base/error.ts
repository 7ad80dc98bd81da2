/**
 * The one error class, its codes, and what each kind means to a caller (exit status, retry).
 * docs/cli.md lists every code; test/tidy keeps the two together.
 */

/** What went wrong, seen from the caller: decides the exit status and whether trying again can help. */
export type ErrorKind =
  | "usage"
  | "denied"
  | "not-found"
  | "invalid"
  | "corrupt"
  | "limit"
  | "conflict"
  | "unavailable"
  | "unsupported"
  | "cancelled";

/** Every code that leaves this program, with its kind. Codes are stable; messages are not. */
export const ERROR_KINDS = {
  USAGE_INVALID: "usage",
  REFERENCE_INVALID: "usage",
  SIZE_INVALID: "usage",
  KEY_INVALID: "usage",
  CREDENTIALS_INVALID: "usage",
  STORE_FORBIDDEN: "denied",
  SOURCE_FORBIDDEN: "denied",
  OUTPUT_FORBIDDEN: "denied",
  DEVICE_READ_ONLY: "denied",
  MOUNT_FORBIDDEN: "denied",
  REGISTRY_UNAUTHORIZED: "denied",
  REGISTRY_FORBIDDEN: "denied",
  REGISTRY_UNTRUSTED: "denied",
  SOURCE_NOT_FOUND: "not-found",
  IMAGE_NOT_FOUND: "not-found",
  PLATFORM_NOT_FOUND: "not-found",
  MANIFEST_NOT_FOUND: "not-found",
  CHUNK_NOT_FOUND: "not-found",
  STORE_NOT_FOUND: "not-found",
  KEY_NOT_FOUND: "not-found",
  PATH_NOT_FOUND: "not-found",
  MOUNT_NOT_FOUND: "not-found",
  TAR_INVALID: "invalid",
  TAR_PATH_UNSAFE: "invalid",
  WHITEOUT_INVALID: "invalid",
  LAYER_INVALID: "invalid",
  TREE_INVALID: "invalid",
  XATTR_INVALID: "invalid",
  OCI_INVALID: "invalid",
  ARCHIVE_INVALID: "invalid",
  MANIFEST_INVALID: "invalid",
  STORE_INVALID: "invalid",
  DISK_IMAGE_INVALID: "invalid",
  REGISTRY_INVALID: "invalid",
  NBD_PROTOCOL: "invalid",
  DEVICE_RANGE_INVALID: "invalid",
  OVERLAY_INVALID: "invalid",
  DIGEST_MISMATCH: "corrupt",
  SIZE_MISMATCH: "corrupt",
  DIFF_ID_MISMATCH: "corrupt",
  CHUNK_CORRUPT: "corrupt",
  MANIFEST_FORGED: "corrupt",
  VERIFY_FAILED: "corrupt",
  OVERLAY_CORRUPT: "corrupt",
  LAYER_TOO_LARGE: "limit",
  DOCUMENT_TOO_LARGE: "limit",
  TREE_TOO_LARGE: "limit",
  PATH_TOO_LONG: "limit",
  LINKS_TOO_MANY: "limit",
  XATTR_TOO_LARGE: "limit",
  FILE_TOO_LARGE: "limit",
  DISK_TOO_SMALL: "limit",
  DISK_TOO_LARGE: "limit",
  OVERLAY_FULL: "limit",
  OUTPUT_EXISTS: "conflict",
  STORE_CONFLICT: "conflict",
  MOUNT_CONFLICT: "conflict",
  STORE_UNAVAILABLE: "unavailable",
  STORE_FULL: "unavailable",
  OUTPUT_FULL: "unavailable",
  OUTPUT_UNAVAILABLE: "unavailable",
  SOURCE_UNAVAILABLE: "unavailable",
  REGISTRY_UNAVAILABLE: "unavailable",
  OVERLAY_UNAVAILABLE: "unavailable",
  LISTEN_UNAVAILABLE: "unavailable",
  MOUNT_UNAVAILABLE: "unavailable",
  MEMORY_UNAVAILABLE: "unavailable",
  SOURCE_KIND_UNSUPPORTED: "unsupported",
  MEDIA_TYPE_UNSUPPORTED: "unsupported",
  COMPRESSION_UNSUPPORTED: "unsupported",
  DIGEST_UNSUPPORTED: "unsupported",
  PLATFORM_UNSUPPORTED: "unsupported",
  FILE_TYPE_UNSUPPORTED: "unsupported",
  XATTR_UNSUPPORTED: "unsupported",
  MANIFEST_VERSION_UNSUPPORTED: "unsupported",
  STORE_VERSION_UNSUPPORTED: "unsupported",
  DISK_IMAGE_UNSUPPORTED: "unsupported",
  OVERLAY_VERSION_UNSUPPORTED: "unsupported",
  MOUNT_UNSUPPORTED: "unsupported",
  CANCELLED: "cancelled",
} as const;

/** A stable name for one way to fail. */
export type ErrorCode = keyof typeof ERROR_KINDS;

/** Facts about a failure, for programs; never a secret, never a whole URL with its query. */
export type ErrorDetails = Readonly<Record<string, string | number>>;

/** Exit status of each kind; 70 (a bug of ours) and 0 are the only others. */
export const EXIT_STATUS: Readonly<Record<ErrorKind, number>> = {
  usage: 2,
  denied: 3,
  "not-found": 4,
  invalid: 5,
  corrupt: 6,
  limit: 7,
  conflict: 8,
  unavailable: 9,
  unsupported: 10,
  cancelled: 130,
};

/**
 * A failure that has a name: bad input, a damaged store, an absent thing. Anything else that is
 * thrown is a bug of ours. The message says what failed, what was expected, what was found, where.
 */
export class LambdaImgError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "LambdaImgError";
    this.code = code;
    this.kind = ERROR_KINDS[code];
    this.details = options.details ?? {};
  }
}

/** An error as plain data, which crosses from thread to thread; classes do not. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** What crosses of an error; its cause and its stack stay. */
export function toPlainError({ code, message, details }: LambdaImgError): PlainError {
  return { code, message, details };
}

/** The error again, on the other side. */
export function fromPlainError({ code, message, details }: PlainError): LambdaImgError {
  return new LambdaImgError(code, message, { details });
}

/** True for errors that name themselves, with any of `codes` if some are given. */
export function isLambdaImgError(error: unknown, ...codes: readonly ErrorCode[]): error is LambdaImgError {
  return error instanceof LambdaImgError && (codes.length === 0 || codes.includes(error.code));
}

/** The system's name of a failure (`ENOENT`), or an empty string. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** A failed invariant of ours: never for input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The value, which by our own reasoning is there. */
export function definite<T>(value: T | undefined | null, message: string): T {
  if (value === undefined || value === null) throw new AssertionError(message);
  return value;
}

/** A bug of ours; the command line prints its stack and exits with 70. */
export class AssertionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "AssertionError";
  }
}
