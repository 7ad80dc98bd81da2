// ⚡ uses: network, time
/**
 * An NBD server: exports devices to clients over Unix sockets and TCP. docs/nbd.md says what of the protocol it speaks.
 */
import { createServer, type Server, type Socket } from "node:net";

import { Connection } from "./_connection.ts";
import { ExportTable } from "./_export-table.ts";
import { CONNECTION_COUNT_MAX_DEFAULT } from "./_limit.ts";
import { TlsUpgrade } from "./_tls-upgrade.ts";
import type { NbdExports, NbdProblem, NbdTimers, NbdTls } from "./export.ts";
import { closeListener, listenOnTcp, listenOnUnix, type TcpAddress } from "./listen.ts";
import type { NbdObserver } from "./observer.ts";

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
  /** Counts connections and requests; without it no clock is read. */
  readonly observer?: NbdObserver;
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
    await this.#listen((listener) => listenOnUnix(listener, path));
  }

  /** Listens on TCP; port 0 lets the system choose. Gives where it listens. @throws LISTEN_UNAVAILABLE */
  listenTcp(address: TcpAddress): Promise<TcpAddress> {
    return this.#listen((listener) => listenOnTcp(listener, address));
  }

  /**
   * Takes no more connections and requests, finishes what is under way, flushes and closes the exports, and closes
   * the connections. Connections whose clients do not read their answers are cut after `graceMs`.
   */
  async stop({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#isStopping = true;
    for (const listener of this.#listeners) closeListener(listener);
    for (const connection of this.#connections.keys()) connection.stop();
    const cancel = this.#timers.start(graceMs, () => {
      for (const connection of this.#connections.keys()) connection.destroy();
    });
    await Promise.all(this.#connections.values());
    cancel();
  }

  async #listen<T>(begin: (listener: Server) => Promise<T>): Promise<T> {
    // Half open: a client may end its side and still wait for answers.
    const listener = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      this.#welcome(socket);
    });
    const found = await begin(listener);
    this.#listeners.add(listener);
    // From here on an error is that of accepting one connection, such as for lack of file descriptors.
    listener.on("error", (error) => {
      this.#tell({ connection: 0, error });
    });
    if (this.#isStopping) closeListener(listener);
    return found;
  }

  #welcome(socket: Socket): void {
    const { exports, connectionCountMax = CONNECTION_COUNT_MAX_DEFAULT, observer } = this.#options;
    if (this.#isStopping || this.#connections.size >= connectionCountMax) {
      observer?.turnedAway();
      socket.destroy();
      return;
    }
    observer?.connected();
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
      ...(observer === undefined ? {} : { observer }),
    });
    const ended = connection.run().finally(() => {
      this.#connections.delete(connection);
      observer?.disconnected();
    });
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
