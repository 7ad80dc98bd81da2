/**
 * What the tests of microVMs need besides the judges of test/support: QEMU, the programs of an initrd, and a kernel that
 * scripts/test.mjs has unpacked.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { onTestFinished } from "vitest";

import type { CliHome } from "../support/cli-run.ts";
// Imported for its effect on the PATH, too: programs for root are found.
import { describeUnless, tools } from "../support/judge.ts";

const BIN = path.resolve(import.meta.dirname, "../../bin/lambda-img");
const SCRIPT = path.resolve(import.meta.dirname, "../../scripts/microvm.mjs");
/** Where scripts/test.mjs unpacks Debian's kernel package. */
const KERNEL_DIRECTORY = path.resolve(import.meta.dirname, "../.cache/kernel");
const PROGRAMS = ["qemu-system-x86_64", "cpio", "unshare", "setpriv", "ldd", "nbd-client"];

/** As `describe`, for tests that boot a machine and have e2fsprogs and libnbd judge it. */
export function describeWithMachine(name: string, body: () => void): void {
  describeUnless(missingParts(), name, body);
}

/** The static busybox of this machine: what an image needs to have a shell. */
export function busyboxBytes(): Uint8Array {
  return readFileSync(programPath("busybox") ?? "");
}

/** The kernel of the tests. */
export function kernelPath(): string {
  const boot = path.join(KERNEL_DIRECTORY, "boot");
  const names = existsSync(boot) ? readdirSync(boot).filter((name) => name.startsWith("vmlinuz-")) : [];
  return path.join(boot, names[0] ?? "vmlinuz");
}

/** A run of scripts/microvm.mjs that has ended, with all that held its output. */
export interface MachineResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs scripts/microvm.mjs in the home. The promise resolves when the script, QEMU and the server have ended: they hold
 * the pipes. `onOutput` is called with what has come so far.
 */
export async function runMachine(
  home: CliHome,
  args: readonly string[],
  onOutput?: (stdout: string, child: ChildProcess) => void,
): Promise<MachineResult> {
  const child = spawn(process.execPath, [SCRIPT, ...args], {
    cwd: home.path,
    stdio: ["ignore", "pipe", "pipe"],
    env: environmentOf(home),
  });
  // Where the test is cut short, the script ends, and with it what it has started.
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said.stdout += text;
    onOutput?.(said.stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.stderr += text;
  });
  const [status, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { status, signal, ...said };
}

/** Serves the image `app` of the home, and gives the URI to `use`; the server has to end well after that. */
export async function withServer<T>(
  home: CliHome,
  options: readonly string[],
  use: (uri: string) => Promise<T>,
): Promise<T> {
  const args = [BIN, "serve", "app", "--json", "--quiet", "--socket", "served.sock", ...options];
  const child = spawn(process.execPath, args, {
    cwd: home.path,
    env: environmentOf(home),
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const closed = once(child, "close");
  // Its only line, or, where it has ended, nothing.
  const [line] = (await Promise.race([once(child.stdout, "data"), closed])) as [unknown];
  const { uri } = JSON.parse(String(line)) as { uri: string };
  const result = await use(uri);
  child.kill("SIGTERM");
  const [status] = (await closed) as [number | null];
  if (status !== 0) throw new Error(`lambda-img serve ended with ${String(status)}`);
  return result;
}

function environmentOf(home: CliHome): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: home.path,
    TMPDIR: home.path,
    XDG_DATA_HOME: path.join(home.path, "share"),
    XDG_CONFIG_HOME: path.join(home.path, "config"),
  };
}

function missingParts(): string[] {
  const missing = [...PROGRAMS, "busybox"].filter((program) => programPath(program) === undefined);
  const busybox = programPath("busybox");
  if (busybox !== undefined && spawnSync("ldd", [busybox]).status === 0) missing.push("busybox-static");
  if (process.arch !== "x64" || process.platform !== "linux") missing.push("x86-64 Linux");
  if (!existsSync(kernelPath())) missing.push("kernel");
  for (const judge of ["e2fsck", "debugfs", "nbdcopy"] as const) if (!tools[judge]) missing.push(judge);
  return missing;
}

function programPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(path.delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => path.join(folder, program)).find((file) => existsSync(file));
}
