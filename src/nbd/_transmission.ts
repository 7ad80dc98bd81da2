/** The transmission phase: takes requests as they come, and has them served side by side. */
import { REQUEST_BYTES_MAX, REQUEST_COUNT_MAX } from "./_limit.ts";
import { decodeRequest, payloadBytesOf, REQUEST_HEADER_BYTES, type NbdRequest } from "./_request-codec.ts";
import { refuseRequest } from "./_request-rules.ts";
import { RequestSlots } from "./_request-slots.ts";
import { RequestWatch } from "./_request-watch.ts";
import { sendError, serveRequest } from "./_serve-request.ts";
import type { Session } from "./_session.ts";
import { NBD_CMD } from "./protocol.ts";

/**
 * Serves requests until the client says goodbye or is gone, or the incoming side is ended; resolves when nothing
 * is under way any more. A request counts until its answer has left, so a client that does not read its answers is
 * not read either.
 * @throws NBD_PROTOCOL, after the connection has been cut
 */
export async function transmit(session: Session): Promise<void> {
  const slots = new RequestSlots({ countMax: REQUEST_COUNT_MAX, bytesMax: REQUEST_BYTES_MAX });
  try {
    await takeRequests(session, slots);
  } catch (error) {
    session.channel.destroy();
    throw error;
  } finally {
    await slots.empty();
  }
}

async function takeRequests(session: Session, slots: RequestSlots): Promise<void> {
  const { incoming } = session.channel;
  for (;;) {
    // Where the bytes are here already there is no turn of the event loop between one request and the next.
    const header = incoming.tryTake(REQUEST_HEADER_BYTES) ?? (await incoming.take(REQUEST_HEADER_BYTES));
    if (header === undefined) return;
    const request = decodeRequest(header);
    if (request.type === NBD_CMD.DISC) return;
    const isTaken = await takeRequest(session, slots, request);
    if (!isTaken) return;
  }
}

/** Starts one request; false where the client is gone before all of it has come. */
async function takeRequest(session: Session, slots: RequestSlots, request: NbdRequest): Promise<boolean> {
  const { observer, channel } = session;
  const { incoming } = channel;
  const watch = observer === undefined ? undefined : new RequestWatch(observer, request);
  const refusal = refuseRequest(request, session.rules);
  const payloadBytes = payloadBytesOf(request);
  const carriedBytes = refusal === undefined ? carriedBytesOf(request) : 0;
  if (!slots.tryEnter(carriedBytes)) await slots.enter(carriedBytes);
  const failure = session.refuseAll() ?? refusal;
  const onSent = (): void => {
    slots.leave(carriedBytes);
    watch?.end();
  };
  const leaveUnanswered = (): false => {
    watch?.fail();
    onSent();
    return false;
  };
  if (failure !== undefined) {
    const isWhole = payloadBytes === 0 || (await incoming.skip(payloadBytes));
    if (!isWhole) return leaveUnanswered();
    sendError(session, { request, onSent, watch }, failure);
    return true;
  }
  let payload: Uint8Array | undefined;
  if (payloadBytes > 0) {
    payload = incoming.tryTake(payloadBytes) ?? (await incoming.take(payloadBytes));
    if (payload === undefined) return leaveUnanswered();
  }
  void serveRequest(session, { request, payload, onSent, watch });
  return true;
}

/** Bytes that a request keeps in memory, one way or the other. */
function carriedBytesOf(request: NbdRequest): number {
  return request.type === NBD_CMD.READ || request.type === NBD_CMD.WRITE ? request.sizeBytes : 0;
}
