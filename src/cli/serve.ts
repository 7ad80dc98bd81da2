// ⚡ uses: file system, process
/** `lambda-img serve`: images of the store as NBD exports. docs/serve.md. */
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";

import { DiskTier } from "../cache/disk-tier.ts";
import { definite } from "../base/error.ts";
import { showBytes } from "../base/units.ts";
import { NbdServer, SYSTEM_TIMERS } from "../nbd/nbd-server.ts";
import { ChunkGuard } from "../serve/chunk-guard.ts";
import {
  ImageExports,
  type OverlayChoice,
  type PrefetchChoice,
  type ServedImage,
  type TraceEvent,
} from "../serve/image-exports.ts";
import { ProblemLog } from "../serve/problem-log.ts";
import { StoppableStore } from "../serve/stoppable-store.ts";
import { showTcpPlace } from "../serve/tcp-place.ts";
import { openContext, type Context } from "./context.ts";
import type { Output } from "./output.ts";
import type { ServerStatus } from "./_status.ts";
import { unreadableText } from "./_unreadable.ts";
import { makeTemporaryDirectory, xdgRuntimeDirectory } from "./_runtime-directory.ts";
import {
  parseOverlay,
  parsePin,
  parsePlace,
  parsePrefetch,
  parseReading,
  parseStatus,
  parseTiers,
  type ServeOptions,
  type ServePlace,
  type StatusPlace,
  type TierChoice,
} from "./_serve-options.ts";

export type { ServeOptions } from "./_serve-options.ts";

/** Milliseconds that clients, and reads of the store that are under way, are given when the server stops. */
const GRACE_MS = 5000;

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** What the options say, checked before anything is opened. */
interface Plan {
  readonly images: readonly string[];
  readonly place: ServePlace;
  readonly overlay: OverlayChoice;
  readonly reading: { readonly timeoutMs: number; readonly onError: "eio" | "block" };
  readonly tiers: TierChoice;
  readonly status: StatusPlace | undefined;
  readonly prefetch: PrefetchChoice;
  readonly isPinned: boolean;
}

/** Where it listens, as it is told. */
interface Listening {
  readonly json: { readonly socket: string } | { readonly address: string };
  readonly uri: string;
}

/** Serves until a signal comes. */
export async function serve(images: readonly string[], options: ServeOptions, use: Use): Promise<void> {
  const distinct = [...new Set(images)];
  const plan: Plan = {
    images: distinct,
    place: await parsePlace(options),
    overlay: parseOverlay(options, distinct),
    reading: parseReading(options),
    tiers: parseTiers(options),
    status: parseStatus(options),
    prefetch: parsePrefetch(options, distinct),
    isPinned: parsePin(options, distinct),
  };
  await serveStore(plan, await openContext(options, { create: false, output: use.output }), use);
}

/** Closes the store. */
async function serveStore(plan: Plan, { keyring, store: opened }: Context, use: Use): Promise<void> {
  const store = new StoppableStore(opened, SYSTEM_TIMERS);
  const log = new ProblemLog((text) => {
    use.output.warn(text);
  });
  const guard = new ChunkGuard({
    ...plan.reading,
    timers: SYSTEM_TIMERS,
    onEvent: (event) => {
      log.chunk(event);
    },
  });
  try {
    const status = plan.status && (await beginStatus(plan.status, guard, use.output));
    try {
      await serveImages({ plan, keyring, store, guard, log, status }, use);
    } finally {
      await status?.close();
    }
    tellCounts(guard, use.output);
  } finally {
    store.stop({ graceMs: GRACE_MS });
    await store.close();
  }
  if (guard.isWaitingForStore || store.isWaitingForStore) {
    // A thread of ours is in the kernel, waiting for a store that does not answer: an orderly exit would wait, too.
    use.output.warn(
      "a read of the store does not end; everything else is done, so this process kills itself",
    );
    process.kill(process.pid, "SIGKILL");
  }
}

/** Who counts is loaded only where that is wanted. */
async function beginStatus(place: StatusPlace, guard: ChunkGuard, output: Output): Promise<ServerStatus> {
  const { openStatus } = await import("./_status.ts");
  return openStatus(place, {
    loads: () => guard.counts,
    warn: (text) => {
      output.warn(text);
    },
  });
}

interface Offer {
  readonly plan: Plan;
  readonly keyring: Context["keyring"];
  readonly store: StoppableStore;
  readonly guard: ChunkGuard;
  readonly log: ProblemLog;
  readonly status: ServerStatus | undefined;
}

async function serveImages({ plan, keyring, store, guard, log, status }: Offer, use: Use): Promise<void> {
  const { images, overlay, tiers, prefetch, isPinned } = plan;
  const cache = tiers.cache && (await openCache(tiers.cache, use.output));
  const exports = new ImageExports({
    keyring,
    store,
    guard,
    overlay,
    prefetch,
    isPinned,
    onTrace: (event) => {
      tellTrace(event, log, use.output);
    },
    memoryBytes: tiers.memoryBytes,
    ...(cache === undefined ? {} : { cache }),
    ...(images.length === 0 ? {} : { images }),
    ...(status === undefined ? {} : { observer: status.lookups }),
  });
  try {
    const served = await exports.prepare((_name, error) => {
      use.output.warn(`${unreadableText(error)}; it is not served`);
    });
    const { tls } = plan.place;
    const server = new NbdServer({
      exports,
      onProblem: (problem) => {
        log.problem(problem);
      },
      ...(tls === undefined ? {} : { tls }),
      ...(status === undefined ? {} : { observer: status.requests }),
    });
    await listenAndWait({ plan, server, store, guard, served, status }, use);
  } finally {
    await exports.close();
    await cache?.close();
  }
}

/** Chunks can be served without it: what goes wrong with it is said, and that is all. */
function openCache(
  place: { readonly path: string; readonly maxBytes: number },
  output: Output,
): Promise<DiskTier> {
  return DiskTier.open({
    ...place,
    onProblem: (text) => {
      output.warn(text);
    },
  });
}

function tellTrace(event: TraceEvent, log: ProblemLog, output: Output): void {
  if (event.kind === "kept") output.note(`${event.name}: kept a trace of ${event.chunkCount} chunks`);
  else log.trace(event);
}

interface Serving {
  readonly plan: Plan;
  readonly server: NbdServer;
  readonly store: StoppableStore;
  readonly guard: ChunkGuard;
  readonly served: readonly ServedImage[];
  readonly status: ServerStatus | undefined;
}

async function listenAndWait(
  { plan, server, store, guard, served, status }: Serving,
  use: Use,
): Promise<void> {
  const { place } = plan;
  const temporary = await temporaryDirectoryFor(place);
  try {
    try {
      const listening = await listen(server, place, temporary);
      tellListening(plan, served, { listening, status, output: use.output });
      await aborted(use.signal);
    } finally {
      store.stop({ graceMs: GRACE_MS });
      const endGrace = guard.stop({ graceMs: GRACE_MS });
      await server.stop({ graceMs: GRACE_MS });
      await guard.drain();
      endGrace();
    }
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}

/** A directory for the socket, where nobody has said where to make it and the system has no place for sockets. */
async function temporaryDirectoryFor(place: ServePlace): Promise<string | undefined> {
  if (place.tcp !== undefined || place.socket !== undefined) return undefined;
  return (await xdgRuntimeDirectory()) === undefined ? makeTemporaryDirectory() : undefined;
}

async function listen(
  server: NbdServer,
  { tcp, socket, tls }: ServePlace,
  temporary: string | undefined,
): Promise<Listening> {
  if (tcp !== undefined) {
    const address = showTcpPlace(await server.listenTcp(tcp));
    return { json: { address }, uri: `${tls === undefined ? "nbd" : "nbds"}://${address}` };
  }
  const path =
    socket === undefined
      ? join(
          definite(temporary ?? (await xdgRuntimeDirectory()), "there is a place"),
          `nbd-${process.pid}.sock`,
        )
      : resolve(socket);
  await server.listenUnix(path);
  return {
    json: { socket: path },
    uri: `nbd+unix:///?socket=${path.split("/").map(encodeURIComponent).join("/")}`,
  };
}

interface Told {
  readonly listening: Listening;
  readonly status: ServerStatus | undefined;
  readonly output: Output;
}

function tellListening(
  { images, place, overlay }: Plan,
  served: readonly ServedImage[],
  { listening, status, output }: Told,
): void {
  if (place.tls !== undefined && place.tls.clientAuthorities === undefined) {
    output.note("every client that reaches the port is served; --tls-ca asks clients for certificates");
  }
  const exports = served.map(({ name, manifestId, sizeBytes }) => ({
    name,
    manifest: manifestId,
    sizeBytes,
  }));
  const { json, uri } = listening;
  const told = status === undefined ? {} : { status: status.json };
  output.result({ command: "serve", ...json, uri, overlay: overlay.kind, exports, ...told }, () => {
    const isDefault = images.length === 1 ? " (the default export, too)" : "";
    const lines = served.map(({ name, sizeBytes }) => `  ${name}  ${showBytes(sizeBytes)}${isDefault}\n`);
    const statusLine = status === undefined ? "" : `status: ${status.place}\n`;
    return `${uri}\n${lines.join("")}${statusLine}`;
  });
}

function tellCounts(guard: ChunkGuard, output: Output): void {
  const { loaded, failed, failing } = guard.counts;
  output.note(
    `stopped: ${loaded} chunks read, ${failed} reads of chunks failed, ${failing} chunks not readable`,
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => {
      resolve();
    });
  });
}
