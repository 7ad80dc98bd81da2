/** Carries out one request and answers it. */
import { definite } from "../base/error.ts";
import { collectExtents } from "./_block-status.ts";
import { serveRead } from "./_read.ts";
import {
  encodeBlockStatus,
  encodeError,
  encodeSimpleReply,
  type NbdRequest,
  type ReplyError,
} from "./_request-codec.ts";
import { errorTextOf, errorValueOf } from "./_request-rules.ts";
import type { RequestWatch } from "./_request-watch.ts";
import type { Session } from "./_session.ts";
import { NBD_CMD, NBD_CMD_FLAG } from "./protocol.ts";

/** The number that stands for base:allocation; any but zero, which means nothing in NBD_OPT_LIST_META_CONTEXT. */
export const ALLOCATION_CONTEXT = 1;

/** A request that the rules let pass, with what came with it. */
export interface Task {
  readonly request: NbdRequest;
  /** Of NBD_CMD_WRITE. */
  readonly payload: Uint8Array | undefined;
  /** Called once, when the answer has left. */
  readonly onSent: () => void;
  /** Where somebody counts. */
  readonly watch: RequestWatch | undefined;
}

/** Carries out the request and sends the answer, whatever happens. Never rejects. */
export async function serveRequest(session: Session, task: Task): Promise<void> {
  const { request, onSent } = task;
  try {
    if (request.type === NBD_CMD.READ) {
      await serveRead(session, task);
    } else if (request.type === NBD_CMD.BLOCK_STATUS) {
      const isOneOnly = (request.flags & NBD_CMD_FLAG.REQ_ONE) !== 0;
      const extents = await collectExtents(session.device, request, { isOneOnly });
      session.channel.send([encodeBlockStatus(request, ALLOCATION_CONTEXT, extents)], onSent);
    } else {
      await act(session, task);
      session.channel.send([encodeSimpleReply(request, 0)], onSent);
    }
  } catch (error) {
    session.onProblem(error);
    const failure = { error: errorValueOf(error, request.type), message: errorTextOf(error) };
    const hasPlace = request.type !== NBD_CMD.FLUSH && request.sizeBytes > 0;
    const place = hasPlace ? { offsetBytes: request.offsetBytes } : {};
    sendError(session, task, { ...failure, ...place });
  }
}

/** Answers with an error, in the form that the client understands. */
export function sendError(
  session: Session,
  { request, onSent, watch }: Omit<Task, "payload">,
  failure: ReplyError,
): void {
  watch?.fail();
  const reply = session.isStructured
    ? encodeError(request, failure, { isLast: true })
    : encodeSimpleReply(request, failure.error);
  session.channel.send([reply], onSent);
}

/** The commands whose answer is only whether they went well. */
async function act({ device, gone: signal }: Session, { request, payload }: Task): Promise<void> {
  const { type, flags, offsetBytes, sizeBytes } = request;
  if (type === NBD_CMD.FLUSH) {
    await device.flush();
    return;
  }
  if (sizeBytes === 0) return;
  if (type === NBD_CMD.CACHE) {
    await device.prefetch({ offsetBytes, sizeBytes }, { signal });
    return;
  }
  if (type === NBD_CMD.WRITE) {
    await device.write(offsetBytes, definite(payload, "a write has come with its bytes"), { signal });
  } else if (type === NBD_CMD.TRIM) {
    await device.discard({ offsetBytes, sizeBytes }, { signal });
  } else {
    const mayDiscard = (flags & NBD_CMD_FLAG.NO_HOLE) === 0;
    await device.writeZeroes({ offsetBytes, sizeBytes }, { mayDiscard, signal });
  }
  // proto.md, "Ordering of messages and writes": no reply to FUA before the bytes last.
  if ((flags & NBD_CMD_FLAG.FUA) !== 0) await device.flush();
}
