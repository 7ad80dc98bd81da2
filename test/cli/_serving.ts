/** `lambda-img serve` as a running process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";

import { onTestFinished } from "vitest";

import type { CliHome } from "../support/cli-run.ts";

const BIN = path.resolve(import.meta.dirname, "../../bin/lambda-img");

export interface RunningServer {
  readonly json: Readonly<Record<string, unknown>>;
  readonly uri: string;
  readonly pid: number;
  readonly stderr: () => string;
  /** From now on nobody reads what it says. */
  closeStderr(): void;
  /** Resolves when stderr has a match. */
  said(pattern: RegExp): Promise<void>;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<{ status: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the server and waits until it says that it listens. It is killed when the test ends. */
export async function startServe(
  home: CliHome,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
  const child = spawn(process.execPath, [BIN, "serve", ...args, "--json"], {
    cwd: home.path,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: home.path,
      TMPDIR: home.path,
      XDG_DATA_HOME: path.join(home.path, "share"),
      XDG_CONFIG_HOME: path.join(home.path, "config"),
      ...env,
    },
  });
  const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await closed;
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const json = JSON.parse(await firstLine(child, () => stderr)) as Record<string, unknown>;
  return {
    json,
    uri: String(json["uri"]),
    pid: child.pid ?? 0,
    stderr: () => stderr,
    closeStderr: () => {
      child.stderr.destroy();
    },
    said: async (pattern) => {
      while (!pattern.test(stderr)) await once(child.stderr, "data");
    },
    stop: async (name = "SIGTERM") => {
      child.kill(name);
      const [status, signal] = await closed;
      return { status, signal };
    },
  };
}

async function firstLine(child: ReturnType<typeof spawn>, stderr: () => string): Promise<string> {
  let stdout = "";
  const ended = once(child, "close").then(() => {
    throw new Error(`it ended before it listened: ${stderr()}`);
  });
  ended.catch(() => undefined); // Where it listens first, nobody waits for its end here.
  while (!stdout.includes("\n")) {
    const [piece] = (await Promise.race([once(child.stdout!, "data"), ended])) as [Uint8Array];
    stdout += Buffer.from(piece).toString();
  }
  return stdout.slice(0, stdout.indexOf("\n"));
}
