/** Runs the program as a user would: what was built, in a home of its own. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import path from "node:path";

import { temporaryDirectory } from "./oci-layout.ts";

/** The program, for `node`. */
export const PROGRAM: string = path.resolve(import.meta.dirname, "../../bin/lambda-img");

/** False where nothing was built; the tests of the command line are skipped then. */
export const isBuilt: boolean = existsSync(path.resolve(import.meta.dirname, "../../dist/program/main.js"));

/** What a run left. */
export interface CliResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stdoutBytes: Uint8Array;
  readonly stderr: string;
}

/** How to run. */
export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Given the process once it runs. */
  readonly whileRunning?: (child: {
    kill(signal: NodeJS.Signals): void;
    readonly stderr: () => string;
  }) => void;
}

/** A home directory with nothing in it. */
export class CliHome {
  readonly #folder = temporaryDirectory();

  get path(): string {
    return this.#folder.path;
  }

  get storePath(): string {
    return path.join(this.path, "share", "lambda-img", "store");
  }

  get keyPath(): string {
    return path.join(this.path, "config", "lambda-img", "key.json");
  }

  remove(): void {
    this.#folder.remove();
  }

  run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    mkdirSync(this.path, { recursive: true });
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: this.path,
      XDG_DATA_HOME: path.join(this.path, "share"),
      XDG_CONFIG_HOME: path.join(this.path, "config"),
      ...options.env,
    };
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [PROGRAM, ...args], { env, cwd: options.cwd ?? this.path });
      const stdout: Uint8Array[] = [];
      const stderr: Uint8Array[] = [];
      child.stdout.on("data", (piece: Uint8Array) => stdout.push(piece));
      child.stderr.on("data", (piece: Uint8Array) => stderr.push(piece));
      child.on("error", reject);
      child.on("close", (status, signal) => {
        const stdoutBytes = Buffer.concat(stdout);
        resolve({
          status,
          signal,
          stdout: stdoutBytes.toString(),
          stdoutBytes,
          stderr: Buffer.concat(stderr).toString(),
        });
      });
      options.whileRunning?.({
        kill: (name) => {
          child.kill(name);
        },
        stderr: () => Buffer.concat(stderr).toString(),
      });
    });
  }
}

/** The object on stdout of a run with --json that succeeded. */
export function jsonOf({ status, stdout, stderr }: CliResult): Record<string, unknown> {
  if (status !== 0) throw new Error(`exit status ${status}: ${stderr}`);
  const lines = stdout.split("\n");
  if (lines.length !== 2 || lines[1] !== "") throw new Error(`expected one line, found ${stdout}`);
  return JSON.parse(lines[0] ?? "") as Record<string, unknown>;
}

/** The object on the last line of stderr of a run with --json that failed. */
export function errorOf({ stderr }: CliResult): Record<string, unknown> {
  return JSON.parse(stderr.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
}
