/** One client's connection from its beginning to its end. */
import { setMaxListeners } from "node:events";
import type { Duplex } from "node:stream";

import { LambdaImgError } from "../base/error.ts";
import { Channel } from "./_channel.ts";
import { Handshake, type Agreement, type HandshakeSettings } from "./_handshake.ts";
import { HANDSHAKE_TIME_MS_MAX } from "./_limit.ts";
import { transmit } from "./_transmission.ts";
import type { NbdTimers } from "./export.ts";
import type { NbdObserver } from "./observer.ts";
import { NBD_ERROR } from "./protocol.ts";

/** What a connection goes by. */
export interface ConnectionSettings extends HandshakeSettings {
  readonly timers: NbdTimers;
  readonly observer?: NbdObserver;
}

/** Serves one client. */
export class Connection {
  readonly #socket: Duplex;
  readonly #settings: ConnectionSettings;
  readonly #handshake: Handshake;

  constructor(socket: Duplex, settings: ConnectionSettings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#handshake = new Handshake(new Channel(socket), settings);
  }

  /** Resolves when the connection is closed and nothing of it is under way. Never rejects; problems are told. */
  async run(): Promise<void> {
    try {
      const agreement = await this.#shakeHands();
      if (agreement !== undefined) await this.#transmit(agreement);
      await this.#handshake.channel.close(this.#settings.timers);
    } catch (error) {
      this.#settings.onProblem(error);
    }
    this.destroy();
  }

  /** Takes no more from the client: what is under way is finished, then the connection is closed. */
  stop(): void {
    this.#handshake.channel.incoming.end();
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.#handshake.channel.destroy();
    this.#socket.destroy();
  }

  async #shakeHands(): Promise<Agreement | undefined> {
    const cancel = this.#settings.timers.start(HANDSHAKE_TIME_MS_MAX, () => {
      const message = `handshake: not finished after ${HANDSHAKE_TIME_MS_MAX} ms`;
      this.#settings.onProblem(new LambdaImgError("NBD_PROTOCOL", message));
      this.destroy();
    });
    try {
      return await this.#handshake.run();
    } finally {
      cancel();
    }
  }

  async #transmit({ lease, flags, isStructured, hasAllocation }: Agreement): Promise<void> {
    const { isStopping, onProblem, observer, timers } = this.#settings;
    const { device, hasFastZeroes } = lease.export;
    const { channel } = this.#handshake;
    if (isStopping()) channel.incoming.end();
    const gone = new AbortController();
    setMaxListeners(0, gone.signal); // Each request under way may listen, and each part of it.
    const endWatch = channel.watch(timers, () => {
      gone.abort();
    });
    try {
      await transmit({
        channel,
        device,
        rules: { sizeBytes: device.sizeBytes, flags, hasAllocation, isFastZero: hasFastZeroes },
        isStructured,
        // proto.md, "Terminating the transmission phase": ESHUTDOWN for what comes after the stop.
        refuseAll: () =>
          isStopping() ? { error: NBD_ERROR.ESHUTDOWN, message: "the server is shutting down" } : undefined,
        onProblem,
        observer,
        gone: gone.signal,
      });
    } finally {
      endWatch();
      await lease.release();
    }
  }
}
