// ⚡ uses: worker
/** Memory that is given back at once, not when the garbage collector comes by. */
import { MessageChannel } from "node:worker_threads";

/** A closed port: what is transferred to it goes nowhere (HTML Standard, "message port post message steps"). */
const { port1: nowhere } = new MessageChannel();
nowhere.close();

/**
 * Gives back the memory of bytes that are of no use any more; they are empty then, as is every view of them. Nothing happens
 * to bytes that are only a part of their memory, or lie in memory that threads share.
 *
 * V8 looks for dead buffers when 32 MB of them have come together in a thread: with eight threads that seal chunk after chunk,
 * a quarter of a gigabyte of nothing.
 */
export function releaseBytes(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length)
    nowhere.postMessage(undefined, [buffer]);
}
