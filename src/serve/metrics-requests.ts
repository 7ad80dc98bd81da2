/** Counts what NBD clients do: connections, and requests by command. */
import { definite } from "../base/error.ts";
import {
  NBD_COMMAND_NAMES,
  type EndedRequest,
  type NbdCommandName,
  type NbdObserver,
} from "../nbd/observer.ts";
import { LatencyHistogram } from "./_latency-histogram.ts";

/** What one command has done since the start. */
export interface CommandCounts {
  readonly command: NbdCommandName;
  readonly ok: number;
  readonly error: number;
  readonly payloadBytes: number;
  /** Of answers of both kinds. */
  readonly latency: LatencyHistogram;
}

interface MutableCommandCounts extends CommandCounts {
  ok: number;
  error: number;
  payloadBytes: number;
}

/** Counts for all connections of a server together. */
export class RequestCounts implements NbdObserver {
  readonly #commands: ReadonlyMap<NbdCommandName, MutableCommandCounts> = new Map(
    NBD_COMMAND_NAMES.map((command) => [
      command,
      { command, ok: 0, error: 0, payloadBytes: 0, latency: new LatencyHistogram() },
    ]),
  );
  #openConnectionCount = 0;
  #acceptedCount = 0;
  #turnedAwayCount = 0;
  #runningCount = 0;

  get openConnectionCount(): number {
    return this.#openConnectionCount;
  }

  /** Connections since the start, those that are gone included. */
  get acceptedCount(): number {
    return this.#acceptedCount;
  }

  /** Connections that were closed at once. */
  get turnedAwayCount(): number {
    return this.#turnedAwayCount;
  }

  /** Requests under way. */
  get runningCount(): number {
    return this.#runningCount;
  }

  /** In the order of NBD_COMMAND_NAMES; the counts go on changing. */
  get commands(): readonly CommandCounts[] {
    return [...this.#commands.values()];
  }

  connected(): void {
    this.#openConnectionCount++;
    this.#acceptedCount++;
  }

  disconnected(): void {
    this.#openConnectionCount--;
  }

  turnedAway(): void {
    this.#turnedAwayCount++;
  }

  requestBegan(): void {
    this.#runningCount++;
  }

  requestEnded({ command, outcome, seconds, payloadBytes }: EndedRequest): void {
    this.#runningCount--;
    const counts = definite(this.#commands.get(command), "every command has its counts");
    counts[outcome]++;
    counts.payloadBytes += payloadBytes;
    counts.latency.record(seconds);
  }
}
