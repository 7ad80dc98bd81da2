// ⚡ uses: worker
/** Memory that is given back at once, not when the garbage collector comes by. */
import type { MessagePort } from "node:worker_threads";

/**
 * A closed port: what is transferred to it goes nowhere (HTML Standard, "message port post message steps"). Made when it is
 * needed: Node loads worker threads for it, and most commands need none.
 */
let nowhere: MessagePort | undefined;

function closedPort(): MessagePort {
  const { port1 } = new MessageChannel();
  port1.close();
  return port1;
}

/**
 * Gives back the memory of bytes that are of no use any more; they are empty then, as is every view of them. Nothing happens
 * to bytes that are only a part of their memory, or lie in memory that threads share.
 *
 * V8 looks for dead buffers when 32 MB of them have come together in a thread: with eight threads that seal chunk after chunk,
 * a quarter of a gigabyte of nothing.
 */
export function releaseBytes(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (bytes.length === 0) return; // Memory that was given back already: Node 22 and later refuse it.
  if (!(buffer instanceof ArrayBuffer) || buffer.byteLength !== bytes.length) return;
  nowhere ??= closedPort();
  nowhere.postMessage(undefined, [buffer]);
}
