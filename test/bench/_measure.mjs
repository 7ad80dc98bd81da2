// What a command costs: wall and CPU seconds and the memory of its whole process tree; and what machine this is.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { summarize } from "./_figures.mjs";

const SAMPLE_MS = 50;

/** The machine, in words that a reader needs to judge the figures. */
export function describeMachine() {
  const model = os.cpus()[0]?.model.trim() ?? "unknown processor";
  const memory = `${Math.round(os.totalmem() / (1 << 30))} GiB of memory`;
  return `${os.cpus().length} × ${model}, ${memory}, ${os.type()} ${os.release()}, Node ${process.version}`;
}

/**
 * The environment in which everything is measured: this process's, without what changes how Node itself starts. Certificates of
 * one's own (NODE_EXTRA_CA_CERTS) are read and parsed at each start, whether they are needed or not: a bundle of 140 takes 85 ms.
 */
export function measuredEnvironment() {
  const env = { ...process.env, LC_ALL: "C" };
  for (const name of ["NODE_EXTRA_CA_CERTS", "NODE_OPTIONS"]) delete env[name];
  return env;
}

/**
 * Runs a command to its end; its output goes nowhere. CPU seconds are those of all processes it waited for, by the shell's
 * accounting. `peakBytes` is resident memory, looked at every 50 ms: the largest sum over the tree, but no less than the
 * high-water mark that the kernel keeps for each process. Pages that processes share count once for each. `undefined`
 * where there is no /proc.
 * @throws Error with the end of what the command said on stderr, where it fails
 */
export async function measure(command, { env } = {}) {
  const place = mkdtempSync(path.join(os.tmpdir(), "lambda-img-measure-"));
  const errors = path.join(place, "stderr");
  // bash: the `time` of other shells has no such format.
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>"$0"';
  try {
    const child = spawn("bash", ["-c", script, errors, ...command], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...measuredEnvironment(), ...env },
    });
    const memory = new TreeMemory(child.pid);
    const timer = setInterval(() => memory.sample(), SAMPLE_MS);
    const { status, stderr } = await endOf(child).finally(() => clearInterval(timer));
    if (status !== 0)
      throw new Error(
        `${command.join(" ")} ended with ${status}: ${readFileSync(errors, "utf8").slice(-2000)}`,
      );
    const [wallSeconds, userSeconds, systemSeconds] = stderr.trim().split(/\s+/).slice(-3).map(Number);
    return { wallSeconds, userSeconds, systemSeconds, peakBytes: memory.peakBytes };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The costs of several runs, key by key; without a peak where there is none. */
export function summarizeCosts(costs) {
  const peaks = costs.map(({ peakBytes }) => peakBytes).filter((peak) => peak !== undefined);
  return {
    wallSeconds: summarize(costs.map(({ wallSeconds }) => wallSeconds)),
    userSeconds: summarize(costs.map(({ userSeconds }) => userSeconds)),
    systemSeconds: summarize(costs.map(({ systemSeconds }) => systemSeconds)),
    cpuSeconds: summarize(costs.map(({ userSeconds, systemSeconds }) => userSeconds + systemSeconds)),
    ...(peaks.length > 0 ? { peakBytes: summarize(peaks) } : {}),
  };
}

/** The resident memory of what a process starts, itself (a shell of ours) left out. */
class TreeMemory {
  peakBytes;
  #members = new Set();
  /** Processes that are not of the tree: looked at once, not every time. */
  #others = new Set();

  constructor(rootPid) {
    this.rootPid = rootPid;
    this.#members.add(String(rootPid));
  }

  sample() {
    if (process.platform !== "linux") return;
    let sumBytes = 0;
    for (const pid of this.#find()) {
      const status = readProcess(pid, "status") ?? "";
      const kibibytes = (field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
      sumBytes += kibibytes("VmRSS") * 1024;
      this.#raise(kibibytes("VmHWM") * 1024);
    }
    this.#raise(sumBytes);
  }

  /** Living members. A child has a higher number than its parent, but for a wrap of the numbers; so one pass is enough. */
  #find() {
    const alive = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    alive.sort((left, right) => Number(left) - Number(right));
    for (const pid of alive) {
      if (this.#members.has(pid) || this.#others.has(pid)) continue;
      // Fields are behind the name, which is in parentheses and may hold some: state, parent.
      const parent = readProcess(pid, "stat")?.replace(/^.*\)/s, "").trim().split(" ")[1];
      (this.#members.has(parent) ? this.#members : this.#others).add(pid);
    }
    return alive.filter((pid) => this.#members.has(pid) && Number(pid) !== this.rootPid);
  }

  #raise(sizeBytes) {
    if (sizeBytes > 0) this.peakBytes = Math.max(this.peakBytes ?? 0, sizeBytes);
  }
}

/** `undefined` where the process has ended meanwhile. */
function readProcess(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ESRCH") return undefined;
    throw error;
  }
}

function endOf(child) {
  return new Promise((resolve, reject) => {
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, stderr }));
  });
}
