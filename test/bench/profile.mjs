// `npm run bench:profile`: where the seconds of a conversion go, by thread and by kind of work.
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";

import { setAside } from "./_aside.mjs";
import { drawAll } from "./_drawings.mjs";
import { describeImage, makeImage } from "./_image.mjs";
import { nameOf } from "./_layout.mjs";
import { describeMachine, measuredEnvironment } from "./_measure.mjs";
import { readOptions, RECORDS } from "./_options.mjs";
import { convertCommand } from "./_ours.mjs";
import { showSize } from "./_page.mjs";
import { foldProfile, GROUPS } from "./_profile-fold.mjs";

const SAMPLE_MS = 20;
/** Linux tells user space hundredths of a second, whatever its clock (USER_HZ). */
const TICKS_A_SECOND = 100;
const FUNCTION_COUNT = 15;

const USAGE = `usage: npm run bench:profile -- [--image LAYOUT] [--out FILE] [--record]

Converts an image once under node --cpu-prof, in all threads, and prints where the time went: the kernel's CPU seconds of
each thread (on Linux), and V8's samples by group of functions. Profiling costs some time itself.

  --image LAYOUT  an OCI layout; without it, one layer is made of up to 400 MB of this machine's /usr
  --out FILE      write the text there, too
  --record        keep it as docs/benchmarks/profile.txt
`;

const values = readOptions(USAGE, {
  image: { type: "string" },
  out: { type: "string" },
  record: { type: "boolean", default: false },
});
const work = mkdtempSync(path.join(os.tmpdir(), "lambda-img-profile-"));

try {
  const layout = values.image === undefined ? await makeImage(work) : path.resolve(values.image);
  await profile(layout); // Warms the page cache.
  const taken = await profile(layout);
  const name = values.image === undefined ? "parts of /usr" : nameOf(layout);
  const text = tell(taken, `${name}, ${showSize(describeImage(layout))}`);
  process.stdout.write(text);
  if (values.out !== undefined) writeFileSync(values.out, text);
  if (values.record) {
    mkdirSync(RECORDS, { recursive: true });
    writeFileSync(path.join(RECORDS, "profile.txt"), text);
    drawAll(RECORDS);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** One conversion: wall seconds, CPU seconds by role of threads, and each JavaScript thread's folded profile. */
async function profile(layout) {
  const out = path.join(work, "out");
  setAside(out, path.join(work, "aside"));
  mkdirSync(out);
  const threads = path.join(out, "threads");
  const profiles = path.join(out, "profiles");
  const preload = path.join(import.meta.dirname, "_profile-threads.cjs");
  const nodeOptions = ["--require", preload, "--cpu-prof", `--cpu-prof-dir=${profiles}`];
  const separate = path.join(import.meta.dirname, "_profile-program.mjs");
  const [program, ...args] = convertCommand(`oci:${layout}`, out, { nodeOptions, program: separate });
  const startMs = performance.now();
  const env = { ...measuredEnvironment(), LAMBDA_IMG_BENCH_THREADS: threads };
  const child = spawn(program, args, { env, stdio: ["ignore", "ignore", "inherit"] });
  const ticks = new Map();
  const timer = setInterval(() => sampleThreads(child.pid, ticks), SAMPLE_MS);
  const status = await new Promise((resolve, reject) => {
    child.once("error", reject).once("close", resolve);
  }).finally(() => clearInterval(timer));
  if (status !== 0) throw new Error(`convert ended with ${status}`);
  return {
    wallSeconds: (performance.now() - startMs) / 1000,
    cpu: existsSync(threads) ? sumByRole(ticks, readFileSync(threads, "utf8")) : undefined,
    threads: readProfiles(profiles),
  };
}

/** The latest count of each thread's ticks; a thread that ends keeps its last one. */
function sampleThreads(pid, ticks) {
  try {
    for (const id of readdirSync(`/proc/${pid}/task`)) {
      const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, "utf8");
      // proc(5): utime and stime are the fields 14 and 15; the name, the second, may have spaces.
      const [user, system] = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .slice(11, 13);
      ticks.set(id, Number(user) + Number(system));
    }
  } catch (error) {
    // The process or the thread has ended, or there is no /proc.
    if (error.code !== "ENOENT" && error.code !== "ESRCH") throw error;
  }
}

/** CPU seconds of the main thread, the sealing ones, the pool, and what is left: V8's own threads. */
function sumByRole(ticks, text) {
  const roles = new Map();
  for (const line of text.trim().split("\n")) {
    const { role, ids } = JSON.parse(line);
    for (const id of ids) roles.set(id, role);
  }
  const sums = new Map();
  for (const [id, count] of ticks) {
    const role = roles.get(id) ?? "V8";
    sums.set(role, (sums.get(role) ?? 0) + count / TICKS_A_SECOND);
  }
  return sums;
}

/** By thread: node names its profiles CPU.date.time.pid.thread.number.cpuprofile, the main thread 0. */
function readProfiles(folder) {
  const threads = readdirSync(folder).map((name) => ({
    id: Number(name.split(".")[4]),
    folded: foldProfile(JSON.parse(readFileSync(path.join(folder, name), "utf8"))),
  }));
  return threads.sort((left, right) => left.id - right.id);
}

function tell({ wallSeconds, cpu, threads }, image) {
  const nameOfThread = (id) => (id === 0 ? "main thread" : `sealing thread ${id}`);
  const head = ["", ...threads.map(({ id }) => nameOfThread(id))];
  const rows = GROUPS.map((group) => [
    group,
    ...threads.map(({ folded }) => folded.groups[group].toFixed(2)),
  ]);
  const sums = ["all", ...threads.map(({ folded }) => folded.seconds.toFixed(2))];
  return [
    `lambda-img convert under node --cpu-prof: ${wallSeconds.toFixed(2)} s`,
    `machine: ${describeMachine()}`,
    `image: ${image}\n`,
    cpu === undefined ? "" : `${tellCpu(cpu)}\n`,
    "Seconds by group, sampled by V8 each millisecond. A thread that waits inside a call (a write to the disk) is not idle.\n",
    align([head, ...rows, sums]),
    "",
    ...threads.map(({ id, folded }) => tellFunctions(nameOfThread(id), folded)),
  ]
    .join("\n")
    .trimEnd()
    .concat("\n");
}

function tellCpu(cpu) {
  const names = [
    ["main", "main thread"],
    ...[...cpu.keys()]
      .filter((role) => role.startsWith("worker"))
      .map((role) => [role, `sealing thread ${role.slice(7)}`]),
    ["pool", "Node's pool: writes, reads ahead, syncs"],
    ["V8", "V8's own: collector, compiler, profiler"],
  ];
  const rows = names.map(([role, name]) => [name, (cpu.get(role) ?? 0).toFixed(2)]);
  const all = [...cpu.values()].reduce((sum, seconds) => sum + seconds, 0);
  return `CPU seconds by thread, as the kernel counts them\n\n${align([...rows, ["all", all.toFixed(2)]])}`;
}

function tellFunctions(name, { functions, seconds }) {
  const busy = functions.filter((each) => each.name !== "(idle)").slice(0, FUNCTION_COUNT);
  const rows = busy.map(
    (each) =>
      `  ${each.seconds.toFixed(2).padStart(6)}  ${((100 * each.seconds) / seconds).toFixed(1).padStart(4)} %  ${each.name}`,
  );
  return `Functions of the ${name} with the most time of their own: seconds, share\n\n${rows.join("\n")}\n`;
}

/** Columns side by side: the first to the left, numbers to the right. */
function align(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))),
    )
    .map((cells) => `  ${cells.join("  ")}`.trimEnd())
    .join("\n");
}
