// ⚡ uses: Buffer
/** Messages of the transmission as bytes (proto.md, "Request message", "Simple reply message", "Structured reply chunk message"). */
import { viewOf } from "../base/bytes.ts";
import { LambdaImgError } from "../base/error.ts";
import type { DeviceExtent, DeviceRange } from "../device/block-device.ts";
import {
  NBD_CMD,
  NBD_REPLY_FLAG,
  NBD_REPLY_TYPE,
  NBD_REQUEST_MAGIC,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STATE,
  NBD_STRUCTURED_REPLY_MAGIC,
  type NbdErrorValue,
} from "./protocol.ts";

export const REQUEST_HEADER_BYTES = 28;
const TWO_TO_32 = 2 ** 32;

/** What a client asks. The cookie is 64 bits that mean something to the client alone. */
export interface NbdRequest {
  readonly flags: number;
  readonly type: number;
  readonly cookieHigh: number;
  readonly cookieLow: number;
  /** Exact up to 2^53; above, still larger than any device. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** @throws NBD_PROTOCOL where the magic number is wrong: nobody knows where the next request would begin */
export function decodeRequest(bytes: Uint8Array): NbdRequest {
  const view = viewOf(bytes);
  const magic = view.getUint32(0);
  if (magic !== NBD_REQUEST_MAGIC) {
    throw new LambdaImgError(
      "NBD_PROTOCOL",
      `request: expected magic 0x25609513, found 0x${magic.toString(16)}`,
    );
  }
  return {
    flags: view.getUint16(4),
    type: view.getUint16(6),
    cookieHigh: view.getUint32(8),
    cookieLow: view.getUint32(12),
    offsetBytes: view.getUint32(16) * TWO_TO_32 + view.getUint32(20),
    sizeBytes: view.getUint32(24),
  };
}

/** Bytes that follow the header of a request. */
export function payloadBytesOf(request: NbdRequest): number {
  return request.type === NBD_CMD.WRITE ? request.sizeBytes : 0;
}

/** A simple reply; what was read follows it, where error is 0 and the request was NBD_CMD_READ. */
export function encodeSimpleReply(request: NbdRequest, error: NbdErrorValue | 0): Uint8Array {
  const bytes = Buffer.allocUnsafe(16);
  bytes.writeUInt32BE(NBD_SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeUInt32BE(request.cookieHigh, 8);
  bytes.writeUInt32BE(request.cookieLow, 12);
  return bytes;
}

/** Whether a chunk is the last of its reply. */
export interface ChunkPlace {
  readonly isLast: boolean;
}

/** The head of NBD_REPLY_TYPE_OFFSET_DATA; the `sizeBytes` bytes of the range follow it. */
export function encodeContentHeader(request: NbdRequest, range: DeviceRange, place: ChunkPlace): Uint8Array {
  const bytes = Buffer.allocUnsafe(28);
  writeChunkHeader(bytes, request, {
    type: NBD_REPLY_TYPE.OFFSET_DATA,
    payloadBytes: 8 + range.sizeBytes,
    ...place,
  });
  writeOffset(bytes, range.offsetBytes, 20);
  return bytes;
}

/** NBD_REPLY_TYPE_OFFSET_HOLE: the range is zero. */
export function encodeHole(request: NbdRequest, range: DeviceRange, place: ChunkPlace): Uint8Array {
  const bytes = Buffer.allocUnsafe(32);
  writeChunkHeader(bytes, request, { type: NBD_REPLY_TYPE.OFFSET_HOLE, payloadBytes: 12, ...place });
  writeOffset(bytes, range.offsetBytes, 20);
  bytes.writeUInt32BE(range.sizeBytes, 28);
  return bytes;
}

/** NBD_REPLY_TYPE_NONE: the end of a reply. */
export function encodeDone(request: NbdRequest): Uint8Array {
  const bytes = Buffer.allocUnsafe(20);
  writeChunkHeader(bytes, request, { type: NBD_REPLY_TYPE.NONE, payloadBytes: 0, isLast: true });
  return bytes;
}

/** What went wrong with a request, or with the part of it that starts at `offsetBytes`. */
export interface ReplyError {
  readonly error: NbdErrorValue;
  /** For people. ASCII, and short. */
  readonly message: string;
  readonly offsetBytes?: number;
}

/** NBD_REPLY_TYPE_ERROR, or NBD_REPLY_TYPE_ERROR_OFFSET where there is an offset. */
export function encodeError(request: NbdRequest, failure: ReplyError, place: ChunkPlace): Uint8Array {
  const { error, message, offsetBytes } = failure;
  const messageBytes = Buffer.from(message, "latin1");
  const payloadBytes = 6 + messageBytes.length + (offsetBytes === undefined ? 0 : 8);
  const bytes = Buffer.allocUnsafe(20 + payloadBytes);
  const type = offsetBytes === undefined ? NBD_REPLY_TYPE.ERROR : NBD_REPLY_TYPE.ERROR_OFFSET;
  writeChunkHeader(bytes, request, { type, payloadBytes, ...place });
  bytes.writeUInt32BE(error, 20);
  bytes.writeUInt16BE(messageBytes.length, 24);
  bytes.set(messageBytes, 26);
  if (offsetBytes !== undefined) writeOffset(bytes, offsetBytes, 26 + messageBytes.length);
  return bytes;
}

/** NBD_REPLY_TYPE_BLOCK_STATUS with NBD_STATE_HOLE and NBD_STATE_ZERO; the only chunk of its reply. */
export function encodeBlockStatus(
  request: NbdRequest,
  contextNumber: number,
  extents: readonly DeviceExtent[],
): Uint8Array {
  const payloadBytes = 4 + 8 * extents.length;
  const bytes = Buffer.allocUnsafe(20 + payloadBytes);
  writeChunkHeader(bytes, request, { type: NBD_REPLY_TYPE.BLOCK_STATUS, payloadBytes, isLast: true });
  bytes.writeUInt32BE(contextNumber, 20);
  let at = 24;
  for (const { sizeBytes, isZero, isHole } of extents) {
    bytes.writeUInt32BE(sizeBytes, at);
    bytes.writeUInt32BE((isHole ? NBD_STATE.HOLE : 0) | (isZero ? NBD_STATE.ZERO : 0), at + 4);
    at += 8;
  }
  return bytes;
}

interface ChunkHeader extends ChunkPlace {
  readonly type: number;
  readonly payloadBytes: number;
}

function writeChunkHeader(bytes: Buffer, request: NbdRequest, header: ChunkHeader): void {
  bytes.writeUInt32BE(NBD_STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(header.isLast ? NBD_REPLY_FLAG.DONE : 0, 4);
  bytes.writeUInt16BE(header.type, 6);
  bytes.writeUInt32BE(request.cookieHigh, 8);
  bytes.writeUInt32BE(request.cookieLow, 12);
  bytes.writeUInt32BE(header.payloadBytes, 16);
}

function writeOffset(bytes: Buffer, offsetBytes: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(offsetBytes / TWO_TO_32), at);
  bytes.writeUInt32BE(offsetBytes % TWO_TO_32, at + 4);
}
