// ⚡ uses: Buffer
/** The bytes that come from a client, taken in the sizes that the protocol has. */
import type { Duplex } from "node:stream";

import { assert } from "../base/error.ts";
import { READ_AHEAD_BYTES_MAX, READ_AHEAD_PIECES_MAX } from "./_limit.ts";

interface Waiter {
  readonly target: Uint8Array | undefined;
  readonly sizeBytes: number;
  filledBytes: number;
  readonly resolve: (bytes: Uint8Array | undefined) => void;
}

/**
 * Takes over the reading side of a stream. One taker at a time. Bytes are copied only where they lie in more than
 * one of the socket's pieces; otherwise a view is given. When much is waiting and nobody takes it, the socket is
 * paused, so that the client feels it.
 */
export class Incoming {
  readonly #socket: Duplex;
  readonly #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  #waiter: Waiter | undefined;
  #isEnded = false;
  readonly #onBytes = (bytes: Uint8Array): void => {
    this.#receive(bytes);
  };
  readonly #onEnd = (): void => {
    this.end();
  };

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on("data", this.#onBytes);
    for (const event of ["end", "close", "error"]) socket.on(event, this.#onEnd);
  }

  /** Bytes that have come and that nobody has taken. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The next bytes, where all of them are here already. They belong to the caller. */
  tryTake(sizeBytes: number): Uint8Array | undefined {
    if (this.#heldBytes < sizeBytes || this.#waiter !== undefined) return undefined;
    const first = this.#pieces[0];
    if (first === undefined) return new Uint8Array(0);
    this.#heldBytes -= sizeBytes;
    if (first.length > sizeBytes) {
      this.#pieces[0] = first.subarray(sizeBytes);
      return first.subarray(0, sizeBytes);
    }
    if (first.length === sizeBytes) return this.#pieces.shift();
    const target = Buffer.allocUnsafe(sizeBytes);
    this.#moveHeld(target, sizeBytes);
    return target;
  }

  /** The next bytes, which belong to the caller; undefined where the stream ends before there are so many. */
  take(sizeBytes: number): Promise<Uint8Array | undefined> {
    const here = this.tryTake(sizeBytes);
    if (here !== undefined) return Promise.resolve(here);
    // Memory that is not touched costs nothing: what a client announces and does not send stays free.
    return this.#wait(sizeBytes, Buffer.allocUnsafe(sizeBytes));
  }

  /** Drops the next bytes; false where the stream ends before there are so many. */
  async skip(sizeBytes: number): Promise<boolean> {
    return (await this.#wait(sizeBytes, undefined)) !== undefined;
  }

  /** Whoever waits, or takes what is not here yet, gets undefined from now on. */
  end(): void {
    this.#isEnded = true;
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(undefined);
  }

  /** Lets go of the stream, paused; what was held is lost. */
  detach(): void {
    this.end();
    this.#socket.pause();
    this.#socket.off("data", this.#onBytes);
    for (const event of ["end", "close", "error"]) this.#socket.off(event, this.#onEnd);
    this.#pieces.length = 0;
    this.#heldBytes = 0;
  }

  #wait(sizeBytes: number, target: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    assert(this.#waiter === undefined, "one taker at a time");
    const filledBytes = Math.min(this.#heldBytes, sizeBytes);
    this.#heldBytes -= filledBytes;
    this.#moveHeld(target, filledBytes);
    if (filledBytes === sizeBytes) return Promise.resolve(target ?? new Uint8Array(0));
    if (this.#isEnded) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#waiter = { target, sizeBytes, filledBytes, resolve };
      this.#socket.resume();
    });
  }

  /** Moves held bytes to the target, or drops them where there is none. */
  #moveHeld(target: Uint8Array | undefined, sizeBytes: number): void {
    let movedBytes = 0;
    let count = 0;
    for (const piece of this.#pieces) {
      const part = piece.length > sizeBytes - movedBytes ? piece.subarray(0, sizeBytes - movedBytes) : piece;
      target?.set(part, movedBytes);
      movedBytes += part.length;
      if (part.length < piece.length) {
        this.#pieces[count] = piece.subarray(part.length);
        break;
      }
      count++;
    }
    this.#pieces.splice(0, count);
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isEnded) return;
    const rest = this.#feedWaiter(bytes);
    if (rest.length === 0) return;
    this.#pieces.push(rest);
    this.#heldBytes += rest.length;
    const isMuch = this.#heldBytes >= READ_AHEAD_BYTES_MAX || this.#pieces.length >= READ_AHEAD_PIECES_MAX;
    if (isMuch) this.#socket.pause();
  }

  /** Gives the waiter what it lacks; returns what is left over. */
  #feedWaiter(bytes: Uint8Array): Uint8Array {
    const waiter = this.#waiter;
    if (waiter === undefined) return bytes;
    const lackingBytes = waiter.sizeBytes - waiter.filledBytes;
    const part = bytes.length > lackingBytes ? bytes.subarray(0, lackingBytes) : bytes;
    waiter.target?.set(part, waiter.filledBytes);
    waiter.filledBytes += part.length;
    if (waiter.filledBytes === waiter.sizeBytes) {
      this.#waiter = undefined;
      waiter.resolve(waiter.target ?? new Uint8Array(0));
    }
    return bytes.subarray(part.length);
  }
}
