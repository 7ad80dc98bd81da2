/** A server for one test, with everything that has to be put away after it. */
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { onTestFinished } from "vitest";

import type { NbdExport, NbdExports, NbdProblem, NbdTimers } from "../../src/nbd/export.ts";
import { NbdServer, type NbdServerOptions } from "../../src/nbd/nbd-server.ts";
import type { MemoryDevice } from "./_memory-device.ts";

export { MemoryDevice, patternBytes } from "./_memory-device.ts";

/** Timers that end when the test says so. */
export class TestTimers implements NbdTimers {
  readonly #running = new Set<{ readonly delayMs: number; readonly onEnd: () => void }>();

  start(delayMs: number, onEnd: () => void): () => void {
    const timer = { delayMs, onEnd };
    this.#running.add(timer);
    return () => this.#running.delete(timer);
  }

  get delays(): number[] {
    return [...this.#running].map(({ delayMs }) => delayMs);
  }

  /** Ends all timers of this length. */
  fire(delayMs: number): void {
    for (const timer of [...this.#running]) {
      if (timer.delayMs !== delayMs) continue;
      this.#running.delete(timer);
      timer.onEnd();
    }
  }
}

export interface Serving {
  readonly server: NbdServer;
  /** Of the Unix socket. */
  readonly path: string;
  readonly uri: string;
  readonly folder: string;
  readonly problems: NbdProblem[];
  readonly timers: TestTimers;
}

/** Exports that are there from the start; closing one of them closes its device. */
export function exportsOf(devices: Readonly<Record<string, MemoryDevice>>): NbdExports {
  return {
    open: (name) => Promise.resolve(exportOf(devices, name)),
    list: () => Promise.resolve(Object.keys(devices).map((name) => ({ name, description: `about ${name}` }))),
  };
}

function exportOf(devices: Readonly<Record<string, MemoryDevice>>, name: string): NbdExport | undefined {
  const device = devices[name];
  if (device === undefined) return undefined;
  return {
    name,
    description: `about ${name}`,
    device,
    hasFastZeroes: true,
    close: () => device.close(),
  };
}

/** A folder that goes when the test ends. */
export function makeFolder(): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-nbd-"));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A server that listens on a Unix socket until the test ends. */
export async function serve(
  exports: NbdExports | Readonly<Record<string, MemoryDevice>>,
  options: Omit<NbdServerOptions, "exports"> = {},
): Promise<Serving> {
  const folder = makeFolder();
  const problems: NbdProblem[] = [];
  const timers = new TestTimers();
  const server = new NbdServer({
    exports: isExports(exports) ? exports : exportsOf(exports),
    onProblem: (problem) => problems.push(problem),
    timers,
    ...options,
  });
  const socketPath = path.join(folder, "s");
  await server.listenUnix(socketPath);
  onTestFinished(async () => {
    const stopped = server.stop({ graceMs: 1 });
    timers.fire(1);
    await stopped;
  });
  return { server, path: socketPath, uri: `nbd+unix:///?socket=${socketPath}`, folder, problems, timers };
}

function isExports(exports: NbdExports | Readonly<Record<string, MemoryDevice>>): exports is NbdExports {
  return typeof exports["open"] === "function";
}
