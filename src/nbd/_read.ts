/** NBD_CMD_READ: what is read is sent as the device gives it, without a copy. */
import { assert } from "../base/error.ts";
import { forEachLimited } from "../base/pool.ts";
import type { BlockDevice, DeviceRange } from "../device/block-device.ts";
import { HOLE_READ_BYTES_MIN, READ_EXTENTS_MAX, READ_PIECE_BYTES, READ_PIECES_AT_ONCE } from "./_limit.ts";
import {
  encodeContentHeader,
  encodeDone,
  encodeError,
  encodeHole,
  encodeSimpleReply,
  type NbdRequest,
} from "./_request-codec.ts";
import { errorTextOf, errorValueOf } from "./_request-rules.ts";
import type { RequestWatch } from "./_request-watch.ts";
import type { Session } from "./_session.ts";
import { NBD_CMD_FLAG } from "./protocol.ts";

/** A request to read. */
export interface ReadTask {
  readonly request: NbdRequest;
  /** Called when all of the answer has left. */
  readonly onSent: () => void;
  readonly watch: RequestWatch | undefined;
}

/** A part of a structured reply: one chunk of it. */
interface ReadPart extends DeviceRange {
  readonly isZero: boolean;
}

/**
 * Answers a read.
 * @throws what the device throws, where nothing has been sent yet
 */
export async function serveRead(session: Session, task: ReadTask): Promise<void> {
  const { device, channel } = session;
  const { request, onSent } = task;
  if (request.sizeBytes === 0) {
    channel.send([session.isStructured ? encodeDone(request) : encodeSimpleReply(request, 0)], onSent);
    return;
  }
  if (!session.isStructured) {
    const bytes = await readExactly(session, request);
    channel.send([encodeSimpleReply(request, 0), bytes], onSent);
    return;
  }
  if (isOneChunk(request)) {
    const bytes = await readExactly(session, request);
    channel.send([encodeContentHeader(request, request, { isLast: true }), bytes], onSent);
    return;
  }
  await serveParts(session, task, await planParts(device, request));
}

/** Reads parts side by side; each is sent when it is there, and one that fails takes no other with it. */
async function serveParts(session: Session, task: ReadTask, parts: readonly ReadPart[]): Promise<void> {
  let leftCount = parts.length;
  await forEachLimited(parts, READ_PIECES_AT_ONCE, async (part) => {
    const encode = await preparePart(session, task, part);
    leftCount--;
    const isLast = leftCount === 0;
    session.channel.send(encode(isLast), isLast ? task.onSent : undefined);
  });
}

/** What to send for a part, once it is known whether it is the last one. Never rejects. */
async function preparePart(
  session: Session,
  { request, watch }: ReadTask,
  part: ReadPart,
): Promise<(isLast: boolean) => readonly Uint8Array[]> {
  if (part.isZero) return (isLast) => [encodeHole(request, part, { isLast })];
  try {
    const bytes = await readExactly(session, part);
    return (isLast) => [encodeContentHeader(request, part, { isLast }), bytes];
  } catch (error) {
    session.onProblem(error);
    watch?.fail();
    const failure = {
      error: errorValueOf(error, request.type),
      message: errorTextOf(error),
      offsetBytes: part.offsetBytes,
    };
    return (isLast) => [encodeError(request, failure, { isLast })];
  }
}

/** Small reads, and those that must not be split. */
function isOneChunk(request: NbdRequest): boolean {
  if ((request.flags & NBD_CMD_FLAG.DF) !== 0) return true;
  return request.sizeBytes < HOLE_READ_BYTES_MIN && endOfPiece(request) === endOf(request);
}

async function planParts(device: BlockDevice, range: DeviceRange): Promise<readonly ReadPart[]> {
  const extents = range.sizeBytes < HOLE_READ_BYTES_MIN ? [] : await device.extents(range);
  if (extents.length === 0 || extents.length > READ_EXTENTS_MAX) return splitContent(range);
  const parts: ReadPart[] = [];
  let offsetBytes = range.offsetBytes;
  for (const { sizeBytes, isZero } of extents) {
    if (isZero) parts.push({ offsetBytes, sizeBytes, isZero });
    else parts.push(...splitContent({ offsetBytes, sizeBytes }));
    offsetBytes += sizeBytes;
  }
  assert(offsetBytes === endOf(range), "extents cover the range that was asked for");
  return parts;
}

function splitContent(range: DeviceRange): ReadPart[] {
  const parts: ReadPart[] = [];
  const end = endOf(range);
  for (let offsetBytes = range.offsetBytes; offsetBytes < end;) {
    const partEnd = endOfPiece({ offsetBytes, sizeBytes: end - offsetBytes });
    parts.push({ offsetBytes, sizeBytes: partEnd - offsetBytes, isZero: false });
    offsetBytes = partEnd;
  }
  return parts;
}

/** Where the first piece of the range ends. */
function endOfPiece(range: DeviceRange): number {
  const boundary = (Math.floor(range.offsetBytes / READ_PIECE_BYTES) + 1) * READ_PIECE_BYTES;
  return Math.min(endOf(range), boundary);
}

function endOf(range: DeviceRange): number {
  return range.offsetBytes + range.sizeBytes;
}

/** The header tells the size before the bytes come: a device that gave others would break the stream. */
async function readExactly({ device, gone }: Session, range: DeviceRange): Promise<Uint8Array> {
  const bytes = await device.read(range.offsetBytes, range.sizeBytes, { signal: gone });
  assert(bytes.length === range.sizeBytes, "a device reads what it is asked for");
  return bytes;
}
