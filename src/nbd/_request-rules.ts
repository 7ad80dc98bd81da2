/** Which requests are refused before the device hears of them, and with which error. */
import { isLambdaImgError } from "../base/error.ts";
import { PAYLOAD_BYTES_MAX } from "./_limit.ts";
import type { NbdRequest, ReplyError } from "./_request-codec.ts";
import { NBD_CMD, NBD_CMD_FLAG, NBD_ERROR, NBD_FLAG, type NbdErrorValue } from "./protocol.ts";

/** What was agreed on for a connection, as far as requests depend on it. */
export interface RequestRules {
  readonly sizeBytes: number;
  /** NBD_FLAG_*, as told to the client. */
  readonly flags: number;
  readonly hasAllocation: boolean;
  readonly isFastZero: boolean;
}

/** Flags besides FUA that a command may have ("Command flags"). */
const FLAGS_BY_TYPE: ReadonlyMap<number, number> = new Map<number, number>([
  [NBD_CMD.READ, NBD_CMD_FLAG.DF],
  [NBD_CMD.WRITE, 0],
  [NBD_CMD.FLUSH, 0],
  [NBD_CMD.TRIM, 0],
  [NBD_CMD.CACHE, 0],
  [NBD_CMD.WRITE_ZEROES, NBD_CMD_FLAG.NO_HOLE | NBD_CMD_FLAG.FAST_ZERO],
  [NBD_CMD.BLOCK_STATUS, NBD_CMD_FLAG.REQ_ONE],
]);

/** Why a request is refused; undefined where it is not. */
export function refuseRequest(request: NbdRequest, rules: RequestRules): ReplyError | undefined {
  const { type, sizeBytes, offsetBytes } = request;
  const allowed = FLAGS_BY_TYPE.get(type);
  if (allowed === undefined) return refusal(NBD_ERROR.EINVAL, "unknown command");
  const isReadOnly = (rules.flags & NBD_FLAG.READ_ONLY) !== 0;
  if (isReadOnly && isChange(type)) return refusal(NBD_ERROR.EPERM, "the export is read-only");
  if ((request.flags & ~(allowed | negotiatedFlags(rules))) !== 0 || hasUnofferedDf(request, rules)) {
    return refusal(NBD_ERROR.EINVAL, "a flag that this command does not have here");
  }
  if (type === NBD_CMD.FLUSH) {
    const isPlain = sizeBytes === 0 && offsetBytes === 0;
    return isPlain ? undefined : refusal(NBD_ERROR.EINVAL, "a flush has no range");
  }
  if (offsetBytes + sizeBytes > rules.sizeBytes) {
    return refusal(rangeError(type), `outside of the device of ${rules.sizeBytes} bytes`);
  }
  return refuseCommand(request, rules);
}

/** The error value for what a device threw. */
export function errorValueOf(error: unknown, type: number): NbdErrorValue {
  if (isLambdaImgError(error, "DEVICE_READ_ONLY")) return NBD_ERROR.EPERM;
  if (isLambdaImgError(error, "OVERLAY_FULL")) return NBD_ERROR.ENOSPC;
  if (isLambdaImgError(error, "DEVICE_RANGE_INVALID")) return rangeError(type);
  if (isLambdaImgError(error, "CANCELLED")) return NBD_ERROR.ESHUTDOWN;
  return NBD_ERROR.EIO;
}

/** For the client: the code alone, since a message may name files of this machine. */
export function errorTextOf(error: unknown): string {
  return isLambdaImgError(error) ? error.code : "internal error";
}

function refuseCommand(request: NbdRequest, rules: RequestRules): ReplyError | undefined {
  const { type, sizeBytes, flags } = request;
  const hasPayload = type === NBD_CMD.READ || type === NBD_CMD.WRITE;
  if (hasPayload && sizeBytes > PAYLOAD_BYTES_MAX) {
    // NBD_CMD_FLAG_DF has an error of its own for a length that is too large.
    const error = (flags & NBD_CMD_FLAG.DF) === 0 ? NBD_ERROR.EINVAL : NBD_ERROR.EOVERFLOW;
    return refusal(error, `more than ${PAYLOAD_BYTES_MAX} bytes`);
  }
  if (type === NBD_CMD.BLOCK_STATUS && (!rules.hasAllocation || sizeBytes === 0)) {
    return refusal(NBD_ERROR.EINVAL, rules.hasAllocation ? "an empty range" : "no metadata context was set");
  }
  const isFastOnly = type === NBD_CMD.WRITE_ZEROES && (flags & NBD_CMD_FLAG.FAST_ZERO) !== 0;
  if (isFastOnly && (!rules.isFastZero || (flags & NBD_CMD_FLAG.NO_HOLE) !== 0)) {
    // To allocate what will hold the zeros is a write like any other.
    return refusal(NBD_ERROR.ENOTSUP, "not faster than a write");
  }
  return undefined;
}

/** "NBD_CMD_FLAG_FUA … is valid for all commands, provided NBD_FLAG_SEND_FUA has been negotiated". */
function negotiatedFlags(rules: RequestRules): number {
  return (rules.flags & NBD_FLAG.SEND_FUA) === 0 ? 0 : NBD_CMD_FLAG.FUA;
}

function hasUnofferedDf(request: NbdRequest, rules: RequestRules): boolean {
  return (request.flags & NBD_CMD_FLAG.DF) !== 0 && (rules.flags & NBD_FLAG.SEND_DF) === 0;
}

function isChange(type: number): boolean {
  return type === NBD_CMD.WRITE || type === NBD_CMD.TRIM || type === NBD_CMD.WRITE_ZEROES;
}

/** "Error values": ENOSPC for a write beyond the size of the device. */
function rangeError(type: number): NbdErrorValue {
  return type === NBD_CMD.WRITE || type === NBD_CMD.WRITE_ZEROES ? NBD_ERROR.ENOSPC : NBD_ERROR.EINVAL;
}

function refusal(error: NbdErrorValue, message: string): ReplyError {
  return { error, message };
}
