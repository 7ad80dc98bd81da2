// ⚡ uses: time
/** Follows one request from its header to when its answer has left, for an observer. */
import { payloadBytesOf, type NbdRequest } from "./_request-codec.ts";
import type { NbdCommandName, NbdObserver } from "./observer.ts";
import { NBD_CMD } from "./protocol.ts";

const NAMES: ReadonlyMap<number, NbdCommandName> = new Map<number, NbdCommandName>([
  [NBD_CMD.READ, "read"],
  [NBD_CMD.WRITE, "write"],
  [NBD_CMD.FLUSH, "flush"],
  [NBD_CMD.TRIM, "trim"],
  [NBD_CMD.CACHE, "cache"],
  [NBD_CMD.WRITE_ZEROES, "write_zeroes"],
  [NBD_CMD.BLOCK_STATUS, "block_status"],
]);

/** One request under way. */
export class RequestWatch {
  readonly #observer: NbdObserver;
  readonly #request: NbdRequest;
  readonly #beginMs: number;
  #hasFailed = false;

  constructor(observer: NbdObserver, request: NbdRequest) {
    this.#observer = observer;
    this.#request = request;
    this.#beginMs = performance.now();
    observer.requestBegan();
  }

  /** The client is told of an error, or cannot be told of anything any more. */
  fail(): void {
    this.#hasFailed = true;
  }

  /** The answer has left. Called once. */
  end(): void {
    const request = this.#request;
    const bytes = request.type === NBD_CMD.READ ? request.sizeBytes : payloadBytesOf(request);
    this.#observer.requestEnded({
      command: NAMES.get(request.type) ?? "unknown",
      outcome: this.#hasFailed ? "error" : "ok",
      seconds: (performance.now() - this.#beginMs) / 1000,
      payloadBytes: this.#hasFailed ? 0 : bytes,
    });
  }
}
