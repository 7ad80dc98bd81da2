/** What `serve --status` adds to a server: who counts, and where the numbers are told. docs/metrics.md. */
import type { ChunkCounts } from "../serve/chunk-guard.ts";
import { LookupCounts } from "../serve/metrics-lookups.ts";
import { RequestCounts } from "../serve/metrics-requests.ts";
import { readProcessFigures } from "../serve/process-figures.ts";
import { StatusServer } from "../serve/status-server.ts";
import { showTcpPlace } from "../serve/tcp-place.ts";
import type { StatusPlace } from "./_serve-options.ts";

/** What a status goes by. */
export interface StatusOptions {
  readonly loads: () => ChunkCounts;
  /** Told of what goes wrong later, once. */
  readonly warn: (text: string) => void;
}

/** A status that can be asked for. */
export interface ServerStatus {
  readonly lookups: LookupCounts;
  readonly requests: RequestCounts;
  /** Where, for programs. */
  readonly json: { readonly socket: string } | { readonly address: string; readonly url: string };
  /** Where, for people. */
  readonly place: string;
  close(): Promise<void>;
}

/** Listens for questions from now on. @throws LISTEN_UNAVAILABLE */
export async function openStatus(place: StatusPlace, { loads, warn }: StatusOptions): Promise<ServerStatus> {
  const lookups = new LookupCounts();
  const requests = new RequestCounts();
  const counts = { lookups, requests, loads, process: readProcessFigures };
  const server = new StatusServer({
    counts,
    onProblem: (error) => {
      warn(`status: ${error instanceof Error ? error.message : String(error)}`);
    },
  });
  const close = (): Promise<void> => server.close();
  if (place.kind === "socket") {
    await server.listenUnix(place.path);
    return { lookups, requests, json: { socket: place.path }, place: place.path, close };
  }
  const address = showTcpPlace(await server.listenTcp(place.address));
  const url = `http://${address}/`;
  return { lookups, requests, json: { address, url }, place: url, close };
}
