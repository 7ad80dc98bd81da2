// Read rates of `lambda-img serve` beside other NBD servers of the same bytes, for `npm run bench:device`.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import { isInstalled, run } from "./_layout.mjs";
import { PROGRAM } from "./_ours.mjs";

/** The row of ours, and the one that ratios are to. */
export const OURS = "lambda-img serve";
export const BESIDE = "nbdkit file";

const READY_TRIES = 250;
const READY_PAUSE_MS = 20;
/** Kibibytes of one request, and how many are under way. */
const FIO_LOADS = [
  { name: "128 KiB reads in order, depth 8", words: ["--rw=read", "--bs=128k", "--iodepth=8"] },
  { name: "4 KiB random reads, depth 1", words: ["--rw=randread", "--bs=4k", "--iodepth=1"] },
  { name: "4 KiB random reads, depth 32", words: ["--rw=randread", "--bs=4k", "--iodepth=32"] },
];

/** Programs that measuring needs and this machine lacks. */
export function missingPrograms() {
  return ["nbdcopy", "fio", "nbdkit", "qemu-nbd"].filter((program) => !isInstalled(program));
}

/**
 * Starts the servers, each on a socket in `directory`: ours of the image `bench` of the store there, with a memory tier
 * that holds all of it where it can be told to, the others of `disk`, its exported disk image. The caller calls `stop`.
 */
export async function startServers(directory, disk) {
  const socket = (name) => path.join(directory, `${name}.sock`);
  const commands = [
    [OURS, socket("ours"), [process.execPath, PROGRAM, ...serveWords(directory, disk), socket("ours")]],
    [BESIDE, socket("nbdkit"), ["nbdkit", "-f", "-r", "-U", socket("nbdkit"), "file", disk]],
    [
      "qemu-nbd",
      socket("qemu"),
      ["qemu-nbd", "-r", "-t", "-e", "16", "-f", "raw", "-k", socket("qemu"), disk],
    ],
  ];
  const servers = commands.map(([name, place, [program, ...args]]) => {
    rmSync(place, { force: true });
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    return { name, place, child, uri: `nbd+unix:///?socket=${place}` };
  });
  const stop = () => {
    for (const { child } of servers) child.kill("SIGTERM");
  };
  try {
    for (const server of servers) await whenListening(server);
    return { servers, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

function serveWords(directory, disk) {
  const places = ["--store", path.join(directory, "store"), "--key", path.join(directory, "key.json")];
  const hasMemory = run(process.execPath, [PROGRAM, "serve", "--help"]).includes("--memory");
  const megabytes = Math.ceil(statSync(disk).size / (1 << 20)) + 16;
  const memory = hasMemory ? ["--memory", `${megabytes}M`] : [];
  return ["serve", "bench", "--quiet", ...places, ...memory, "--socket"];
}

async function whenListening({ name, place, child }) {
  for (let tries = 0; tries < READY_TRIES && child.exitCode === null; tries++) {
    if (existsSync(place)) return;
    await pause(READY_PAUSE_MS);
  }
  throw new Error(`${name} does not listen`);
}

/** The measurements of one server: what each is, its unit, and a function that takes it once. */
export function listMeasurements(directory, { sizeBytes, seconds }) {
  const copy = {
    name: "nbdcopy to null:, whole disk",
    unit: "MB/s",
    // Without extents: nobody is spared the zeros.
    take: ({ uri }) => {
      const start = performance.now();
      run("nbdcopy", ["--no-extents", uri, "null:"]);
      return sizeBytes / 1e3 / (performance.now() - start);
    },
  };
  const loads = FIO_LOADS.map(({ name, words }) => {
    const isSequential = words.includes("--rw=read");
    return {
      name: `fio, ${name}`,
      unit: isSequential ? "MB/s" : "reads/s",
      take: ({ uri }) => {
        const { iops, bw_bytes: bytes } = runFio(path.join(directory, "fio.json"), [
          ...words,
          `--uri=${uri}`,
          `--runtime=${seconds}`,
        ]);
        return isSequential ? bytes / 1e6 : iops;
      },
    };
  });
  return [copy, ...loads];
}

/** What fio says of its reads. The same places are read of each server: its generator has a fixed seed. */
function runFio(output, words) {
  const options = [
    "--name=bench",
    "--ioengine=nbd",
    "--time_based",
    "--output-format=json",
    `--output=${output}`,
  ];
  run("fio", [...options, ...words], { cwd: path.dirname(output) });
  const text = readFileSync(output, "utf8");
  // Notes come before the document.
  return JSON.parse(text.slice(text.indexOf("{"))).jobs[0].read;
}
