// ⚡ uses: process
/** Both directions of a connection to a client. */
import type { Duplex } from "node:stream";

import { Incoming } from "./_incoming.ts";
import type { NbdTimers } from "./export.ts";
import { LINGER_TIME_MS_MAX } from "./_limit.ts";

/** A stream to a client: bytes are taken from `incoming`, and whole messages are given to `send`. */
export class Channel {
  readonly incoming: Incoming;
  readonly #socket: Duplex;
  #isCorked = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.incoming = new Incoming(socket);
    // A client may vanish at any time; the reading side sees that as an end.
    socket.on("error", ignore);
  }

  /**
   * Sends the parts one after another, without a copy; they must not change any more. All that is sent in one turn
   * of the event loop leaves together. `onSent` is called when the last of it has left, or never will.
   */
  send(parts: readonly Uint8Array[], onSent: () => void = ignore): void {
    const socket = this.#socket;
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        socket.uncork();
      });
    }
    const last = parts.length - 1;
    parts.forEach((part, index) => {
      if (index < last) socket.write(part);
      else socket.write(part, onSent);
    });
  }

  /** Resolves when all that was sent has left, or never will. */
  sent(): Promise<void> {
    return new Promise((resolve) => {
      // Writes end in order, that of nothing as well.
      this.#socket.write(new Uint8Array(0), () => {
        resolve();
      });
    });
  }

  /** Ends the stream after what has been sent, and resolves when it is closed; soon, even if the client does nothing. */
  close(timers: NbdTimers): Promise<void> {
    const socket = this.#socket;
    this.incoming.detach();
    return new Promise((resolve) => {
      if (socket.closed) {
        resolve();
        return;
      }
      const cancel = timers.start(LINGER_TIME_MS_MAX, () => socket.destroy());
      socket.once("close", () => {
        cancel();
        resolve();
      });
      // What a client still says is read and dropped: unread bytes would make the kernel drop our last replies.
      socket.resume();
      socket.end();
    });
  }

  /**
   * Calls `onGone` once when the stream is closed: what is sent then reaches nobody. That comes soon after the client has ended
   * its side, which is all that is seen of one that has closed both. What is returned calls it off.
   */
  watch(timers: NbdTimers, onGone: () => void): () => void {
    const socket = this.#socket;
    let cancel = ignore;
    const onEnd = (): void => {
      cancel = timers.start(LINGER_TIME_MS_MAX, () => socket.destroy());
    };
    if (socket.readableEnded) onEnd();
    else socket.once("end", onEnd);
    if (socket.closed) onGone();
    else socket.once("close", onGone);
    return () => {
      cancel();
      socket.off("end", onEnd).off("close", onGone);
    };
  }

  /** Closes the stream at once. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Gives up the stream for someone else to use; the channel must not be used any more. */
  release(): Duplex {
    this.incoming.detach();
    return this.#socket;
  }
}

function ignore(): void {
  // Nothing is waited for.
}
