// ⚡ uses: network, time, process
/**
 * An NBD server: exports devices to clients over Unix sockets and TCP. docs/nbd.md says what of the protocol it speaks.
 */
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from "node:net";

import { assert, LambdaImgError } from "../base/error.ts";
import { Connection } from "./_connection.ts";
import { ExportTable } from "./_export-table.ts";
import { CONNECTION_COUNT_MAX_DEFAULT } from "./_limit.ts";
import { TlsUpgrade } from "./_tls-upgrade.ts";
import { clearStaleSocket, codeOf } from "./_unix-path.ts";
import type { NbdExports, NbdProblem, NbdTimers, NbdTls } from "./export.ts";

/** What a server goes by. */
export interface NbdServerOptions {
  readonly exports: NbdExports;
  readonly tls?: NbdTls;
  /** More connections than this at a time are closed at once; 64 if left out. */
  readonly connectionCountMax?: number;
  /** Told of what goes wrong; must not throw. */
  readonly onProblem?: (problem: NbdProblem) => void;
  /** The system's timers if left out. */
  readonly timers?: NbdTimers;
}

/** Where a server listens. */
export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** Serves until it is stopped; it can listen in several places. */
export class NbdServer {
  readonly #options: NbdServerOptions;
  readonly #timers: NbdTimers;
  readonly #tls: TlsUpgrade | undefined;
  readonly #table: ExportTable;
  readonly #listeners: Set<Server> = new Set();
  readonly #connections: Map<Connection, Promise<void>> = new Map();
  #connectionsMade = 0;
  #isStopping = false;

  /** @throws USAGE_INVALID where key and certificate cannot be used */
  constructor(options: NbdServerOptions) {
    this.#options = options;
    this.#timers = options.timers ?? SYSTEM_TIMERS;
    this.#tls = options.tls === undefined ? undefined : new TlsUpgrade(options.tls);
    this.#table = new ExportTable(options.exports, (error) => {
      this.#tell({ connection: 0, error });
    });
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Listens on a Unix socket that only this user may use (mode 0600); the file goes when the server stops. A socket
   * file that nobody listens on is replaced. Not for worker threads, which have no umask of their own.
   * @throws LISTEN_UNAVAILABLE
   */
  async listenUnix(path: string): Promise<void> {
    await clearStaleSocket(path);
    const listener = this.#makeListener();
    // Node makes the file inside this call, so nothing else of this thread runs under the narrow mask.
    const before = process.umask(0o177);
    try {
      listener.listen({ path });
    } finally {
      process.umask(before);
    }
    await this.#listening(listener, path);
  }

  /** Listens on TCP; port 0 lets the system choose. Gives where it listens. @throws LISTEN_UNAVAILABLE */
  async listenTcp(address: TcpAddress): Promise<TcpAddress> {
    const listener = this.#makeListener();
    const options: ListenOptions = { host: address.host, port: address.port };
    listener.listen(options);
    await this.#listening(listener, `${address.host}:${address.port}`);
    const found: AddressInfo | string | null = listener.address();
    assert(found !== null && typeof found === "object", "a TCP listener has an address");
    return { host: found.address, port: found.port };
  }

  /**
   * Takes no more connections and requests, finishes what is under way, flushes and closes the exports, and closes
   * the connections. Connections whose clients do not read their answers are cut after `graceMs`.
   */
  async stop({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#isStopping = true;
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections.keys()) connection.stop();
    const cancel = this.#timers.start(graceMs, () => {
      for (const connection of this.#connections.keys()) connection.destroy();
    });
    await Promise.all(this.#connections.values());
    cancel();
  }

  #makeListener(): Server {
    // Half open: a client may end its side and still wait for answers.
    const listener = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      this.#welcome(socket);
    });
    this.#listeners.add(listener);
    return listener;
  }

  async #listening(listener: Server, place: string): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        listener.once("listening", resolve);
        listener.once("error", reject);
      });
    } catch (error) {
      this.#listeners.delete(listener);
      const message = `${place}: expected to listen there, found ${codeOf(error)}`;
      throw new LambdaImgError("LISTEN_UNAVAILABLE", message, { details: { place }, cause: error });
    }
    // From here on an error is that of accepting one connection, such as for lack of file descriptors.
    listener.on("error", (error) => {
      this.#tell({ connection: 0, error });
    });
    if (this.#isStopping) listener.close();
  }

  #welcome(socket: Socket): void {
    const { exports, connectionCountMax = CONNECTION_COUNT_MAX_DEFAULT } = this.#options;
    if (this.#isStopping || this.#connections.size >= connectionCountMax) {
      socket.destroy();
      return;
    }
    this.#connectionsMade++;
    const ordinal = this.#connectionsMade;
    const connection = new Connection(socket, {
      exports,
      table: this.#table,
      tls: this.#tls,
      timers: this.#timers,
      isStopping: () => this.#isStopping,
      onProblem: (error) => {
        this.#tell({ connection: ordinal, error });
      },
    });
    const ended = connection.run().finally(() => this.#connections.delete(connection));
    this.#connections.set(connection, ended);
  }

  #tell(problem: NbdProblem): void {
    this.#options.onProblem?.(problem);
  }
}

/** The system's time. */
export const SYSTEM_TIMERS: NbdTimers = {
  start(delayMs, onEnd) {
    const timer = setTimeout(onEnd, delayMs);
    return () => {
      clearTimeout(timer);
    };
  },
};
