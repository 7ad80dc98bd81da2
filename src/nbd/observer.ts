/** The contract of who counts what clients of a server do. docs/metrics.md. */

/** The commands that are answered, by name; `unknown` is every number that stands for none. */
export const NBD_COMMAND_NAMES = [
  "read",
  "write",
  "flush",
  "trim",
  "cache",
  "write_zeroes",
  "block_status",
  "unknown",
] as const;
export type NbdCommandName = (typeof NBD_COMMAND_NAMES)[number];

/** A request that is no longer under way. */
export interface EndedRequest {
  readonly command: NbdCommandName;
  /** `error`: the client was told of an error, of all that it asked or of a part, or left before it had asked. */
  readonly outcome: "ok" | "error";
  /** Seconds from the request's header until its answer has left, the wait for its turn included. */
  readonly seconds: number;
  /** Bytes that a `read` has given or a `write` has brought; 0 for other commands and for errors. */
  readonly payloadBytes: number;
}

/** Is told of connections and requests, on the path of every request: it has to be quick and must not throw. */
export interface NbdObserver {
  connected(): void;
  /** Once for each connection that was told of. */
  disconnected(): void;
  /** A connection was closed at once, since there are too many or the server stops. */
  turnedAway(): void;
  requestBegan(): void;
  /** Once for each request that began. */
  requestEnded(request: EndedRequest): void;
}
