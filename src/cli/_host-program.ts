// ⚡ uses: file system, process, time
/** Programs and facts of the machine that mounting needs. */
import { spawn } from "node:child_process";
import { access, constants, readdir, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";

import { isLambdaImgError, LambdaImgError } from "../base/error.ts";

/** Of what a program says, the part that is kept. */
const SAID_CHARACTERS_MAX = 4000;
const POLL_MS = 20;
const SYSTEM_FOLDERS = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** The environment for programs of the machine: found also where the PATH of a user does not lead, speaking plainly. */
export function hostEnvironment(): Record<string, string | undefined> {
  return { ...process.env, PATH: searchFolders().join(delimiter), LC_ALL: "C" };
}

/**
 * Runs a program to its end and gives its stdout without the last line end.
 * @throws MOUNT_UNAVAILABLE where it fails, with what it said
 */
export async function runProgram(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: hostEnvironment() });
  let said = "";
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(-SAID_CHARACTERS_MAX);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-SAID_CHARACTERS_MAX);
  });
  const status = await new Promise<string>((resolve) => {
    child.on("error", (error) => {
      resolve(error.message);
    });
    child.on("close", (code, signal) => {
      resolve(String(code ?? signal));
    });
  });
  if (status === "0") return stdout.trimEnd();
  const message = `${program} ${args.join(" ")}: status ${status}: ${said.trim()}`;
  throw new LambdaImgError("MOUNT_UNAVAILABLE", message, { details: { program, status } });
}

/** Tries again, as the kernel gives devices back late, until `work` succeeds or the time is over; then throws as it did. */
export async function retried(work: () => Promise<unknown>, limitMs: number): Promise<void> {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (!isLambdaImgError(error, "MOUNT_UNAVAILABLE") || performance.now() > end) throw error;
    }
    await pause();
  }
}

/** Asks again and again; false where it has not come true in time. */
export async function comesTrue(question: () => Promise<boolean>, limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs;
  while (!(await question())) {
    if (performance.now() > end) return false;
    await pause();
  }
  return true;
}

/** Of the programs and device files, those that are missing here. */
export async function missingOf(
  programs: readonly string[],
  deviceFiles: readonly string[],
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const program of programs) {
    const found = await Promise.all(
      searchFolders().map((folder) => isUsable(join(folder, program), constants.X_OK)),
    );
    if (!found.includes(true)) missing.push(program);
  }
  for (const file of deviceFiles) if (!(await isUsable(file, constants.F_OK))) missing.push(file);
  return missing;
}

/** Processes whose arguments, the program's name first, are such that `isMeant`. */
export async function processesLike(
  isMeant: (words: readonly string[]) => boolean,
): Promise<readonly number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^[0-9]+$/.test(name) || Number(name) === process.pid) continue;
    // Gone meanwhile, or of the kernel: then it has no arguments.
    const line = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (isMeant(line.split("\0"))) found.push(Number(name));
  }
  return found;
}

/** Sends a signal to a process that may be gone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: it has ended by itself, which is what the signal is for.
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, POLL_MS);
  });
}

function searchFolders(): readonly string[] {
  const own = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder.startsWith("/"));
  return [...own, ...SYSTEM_FOLDERS];
}

async function isUsable(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
