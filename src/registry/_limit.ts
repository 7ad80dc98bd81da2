/** Limits on what registries, credential files and programs may send. */
import { KIB } from "../base/units.ts";

/** Bytes of an HTTP error's body that are read for its message. */
export const ERROR_BODY_BYTES_MAX: number = 8 * KIB;
/** Characters of a server's message that are shown. */
export const SERVER_MESSAGE_LENGTH_MAX = 300;
/** Bytes of a token server's answer; tokens of large organisations reach tens of KiB. */
export const TOKEN_BODY_BYTES_MAX: number = 256 * KIB;
/** Redirects of one request (curl stops at 50, browsers at 20, Go at 10). */
export const REDIRECT_COUNT_MAX = 10;
/** Bytes of a credentials file. */
export const CREDENTIALS_FILE_BYTES_MAX: number = 1024 * KIB;
/** Bytes that a credential program may print. */
export const CREDENTIAL_OUTPUT_BYTES_MAX: number = 64 * KIB;
/** Characters of a repository name (distribution/reference, RepositoryNameTotalLengthMax). */
export const REPOSITORY_LENGTH_MAX = 255;
/** Bytes that one connection must have brought for the retries to start anew: no server may stretch a pull for ever. */
export const PROGRESS_BYTES_MIN: number = 64 * KIB;
