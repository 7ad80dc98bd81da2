/**
 * The numbers of the NBD protocol, under the names that its document gives them: `NBD_OPT.GO` is `NBD_OPT_GO`.
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md, "Values". All integers are big-endian.
 */

/** The 64-bit magic numbers, as two halves. */
export const NBD_MAGIC = { high: 0x4e42444d, low: 0x41474943 } as const;
export const IHAVEOPT = { high: 0x49484156, low: 0x454f5054 } as const;
export const OPTION_REPLY_MAGIC = { high: 0x0003e889, low: 0x045565a9 } as const;

export const NBD_REQUEST_MAGIC = 0x25609513;
export const NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
export const NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** "Handshake flags" (the server's) and "Client flags" have the same two bits. */
export const HANDSHAKE_FLAG = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** "Transmission flags". */
export const NBD_FLAG = {
  HAS_FLAGS: 0x1,
  READ_ONLY: 0x2,
  SEND_FLUSH: 0x4,
  SEND_FUA: 0x8,
  SEND_TRIM: 0x20,
  SEND_WRITE_ZEROES: 0x40,
  SEND_DF: 0x80,
  CAN_MULTI_CONN: 0x100,
  SEND_CACHE: 0x400,
  SEND_FAST_ZERO: 0x800,
} as const;

/** "Option types". */
export const NBD_OPT = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** "Option reply types". */
export const NBD_REP = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_PLATFORM: 0x8000_0004,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_TOO_BIG: 0x8000_0009,
} as const;

/** `NBD_INFO_*`, the kinds of `NBD_REP_INFO`. */
export const INFORMATION = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const;

/** "Request types". */
export const NBD_CMD = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

/** "Command flags". */
export const NBD_CMD_FLAG = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

/** "Structured reply flags". */
export const NBD_REPLY_FLAG = { DONE: 1 } as const;

/** "Structured reply types". */
export const NBD_REPLY_TYPE = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;

/** "Error values". */
export const NBD_ERROR = {
  EPERM: 1,
  EIO: 5,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;
export type NbdErrorValue = (typeof NBD_ERROR)[keyof typeof NBD_ERROR];

/** "`base:allocation` metadata context": the only one that the document defines, and its flags. */
export const BASE_ALLOCATION = "base:allocation";
export const NBD_STATE = { HOLE: 1, ZERO: 2 } as const;
