/** The contracts between the NBD server and who gives it devices, time, and an ear for problems. */
import type { BlockDevice } from "../device/block-device.ts";

/** A device offered under a name, opened for use by the server. */
export interface NbdExport {
  /** The name that it has, for a client that asked by another one ("" is the default export). */
  readonly name: string;
  readonly description?: string;
  /**
   * Shared by all connections that ask for the same name, so that a flush of one covers the writes of all. The server
   * flushes it before it calls `close`; it does not close it by itself.
   */
  readonly device: BlockDevice;
  /** True where `writeZeroes` with `mayDiscard` is no slower than to write zeros (NBD_CMD_FLAG_FAST_ZERO). */
  readonly hasFastZeroes: boolean;
  /** Called once, when the last connection has left it and nothing of it is under way. */
  close(): Promise<void>;
}

/** One line of what NBD_OPT_LIST answers. */
export interface ListedExport {
  readonly name: string;
  readonly description?: string;
}

/** Where exports come from. */
export interface NbdExports {
  /**
   * What a name stands for now; undefined where it is nothing. Clients whose names have one key share one export, so
   * a name that gets another key is another export for who comes later. Without it a name is its own key.
   */
  keyOf?(name: string): Promise<string | undefined>;
  /**
   * Opens the export of that key; undefined where there is none. The server calls it when the first client asks for
   * it, and not again before what it gave is closed.
   */
  open(key: string): Promise<NbdExport | undefined>;
  /** The names to tell; without it NBD_OPT_LIST is refused as against policy. */
  list?(): Promise<readonly ListedExport[]>;
}

/** Time, as far as the server needs it. */
export interface NbdTimers {
  /** Calls `onEnd` once after so many milliseconds; what it returns calls that off. */
  start(delayMs: number, onEnd: () => void): () => void;
}

/** TLS as the server offers it; texts are PEM. */
export interface NbdTls {
  readonly certificate: string;
  readonly privateKey: string;
  /** Clients must show a certificate that one of these signed. Without it every client may come. */
  readonly clientAuthorities?: string;
  /** Nothing is told before TLS (FORCEDTLS); otherwise TLS is the client's choice (SELECTIVETLS). */
  readonly isRequired: boolean;
}

/** Something that went wrong and that no caller waits for. */
export interface NbdProblem {
  /** Ordinal of the connection; 0 where it is not one connection's. */
  readonly connection: number;
  /** A LambdaImgError, or a bug of ours or of a device. */
  readonly error: unknown;
}
