// Cold starts of real programs on `lambda-img mount`, the store behind a delay, for `npm run bench:device`.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { missingOf, startRegistry } from "./_convert-peers.mjs";
import { describeImage } from "./_image.mjs";
import { run } from "./_layout.mjs";
import { convertCommand, PROGRAM } from "./_ours.mjs";

const CHUNK_BYTES = 512 << 10;
/** Round trips that the target allows a start with a replayed trace: one for so many chunks. */
const CHUNKS_A_ROUND_TRIP = 16;

/** Whether starts can record and replay what they read. */
export function hasTraces() {
  return ["serve", "mount"].every((command) => help(command).includes("--record"));
}

/** Programs that a start needs and this machine lacks. */
export function missingPrograms() {
  return missingOf({ needs: ["root", "nbdfuse", "losetup", "mount", "unshare", "chroot"] });
}

/**
 * One program's image in stores of its own, ready to be started: `plain` has no trace; `traced`, where there are traces, has
 * one that a start without delay has left.
 */
export function prepareStarts(layout, directory, command) {
  const stores = { plain: path.join(directory, "plain") };
  if (hasTraces()) stores.traced = path.join(directory, "traced");
  let converted;
  for (const store of Object.values(stores)) {
    mkdirSync(store, { recursive: true });
    const [program, ...words] = convertCommand(`oci:${layout}`, store, { options: ["--json"] });
    converted = JSON.parse(run(program, words));
  }
  const place = { directory, command };
  if (stores.traced !== undefined)
    startOnce({ ...place, store: stores.traced, delayMs: 0, options: ["--record"] });
  return {
    image: {
      ...describeImage(layout),
      diskBytes: converted.disk.sizeBytes,
      chunkCount: converted.chunks.total - converted.chunks.zero,
    },
    /** One turn: every kind of start once. */
    turn: (delayMs) => ({
      cold: startOnce({ ...place, store: stores.plain, delayMs }),
      ...(stores.traced === undefined
        ? {}
        : { replayed: startOnce({ ...place, store: stores.traced, delayMs }) }),
      near: startOnce({ ...place, store: stores.plain, delayMs: 0 }),
    }),
  };
}

/**
 * Mounts the image, starts the program twice, and takes everything down. Seconds of mounting; of the program until its end;
 * both; of the program once more, when the kernel has what it read; files that were asked of the store, chunks among them.
 */
function startOnce({ directory, command, store, delayMs, options = [] }) {
  const log = path.join(directory, "opened.txt");
  const mountPoint = path.join(directory, "mounted");
  const runtime = path.join(directory, "runtime");
  for (const place of [mountPoint, runtime]) mkdirSync(place, { recursive: true });
  writeFileSync(log, "");
  const env = {
    ...process.env,
    XDG_RUNTIME_DIR: runtime,
    // A tier on the disk, if there is one by default, begins empty.
    XDG_CACHE_HOME: path.join(directory, "cache"),
    NODE_OPTIONS: `--import="${path.join(import.meta.dirname, "_device-delay.mjs")}"`,
    LAMBDA_BENCH_STORE: path.join(store, "store"),
    LAMBDA_BENCH_DELAY_MS: String(delayMs),
    LAMBDA_BENCH_LOG: log,
  };
  rmSync(env.XDG_CACHE_HOME, { recursive: true, force: true });
  const places = ["--store", path.join(store, "store"), "--key", path.join(store, "key.json")];
  const mountSeconds = secondsOf(
    [process.execPath, PROGRAM, "mount", "bench", mountPoint, ...places, ...options],
    {
      env,
    },
  );
  try {
    const programSeconds = secondsOf(inside(mountPoint, command));
    const opened = readFileSync(log, "utf8").trimEnd().split("\n");
    const againSeconds = secondsOf(inside(mountPoint, command));
    const chunkCount = opened.filter((file) => file.includes("/chunks/")).length;
    return {
      mountSeconds,
      programSeconds,
      totalSeconds: mountSeconds + programSeconds,
      againSeconds,
      openedCount: opened.length,
      chunkCount,
      fetchedBytes: chunkCount * CHUNK_BYTES,
    };
  } finally {
    run(process.execPath, [PROGRAM, "umount", mountPoint], { env });
  }
}

/** A command in the root directory `root`, with /proc and this machine's /dev, in namespaces of its own. */
function inside(root, command) {
  const script = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"';
  const namespaces = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"];
  return ["unshare", ...namespaces, "sh", "-c", script, root, ...command];
}

function secondsOf([program, ...args], options = {}) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", ...options });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}: ${stderr.slice(-2000)}`);
  // A program that says nothing was not ready, whatever its status is.
  if (`${stdout}${stderr}` === "") throw new Error(`${program} ${args.join(" ")} said nothing`);
  return seconds;
}

/**
 * Pulling and unpacking the whole image, `take` once: from a registry on this machine, without delay, where docker-registry
 * is installed, else from the layout; then the program in the tree, whose files the kernel has just written. `undefined`
 * where skopeo or umoci are missing.
 */
export async function preparePull(layout, directory, command) {
  if (missingOf({ needs: ["root", "skopeo", "umoci"] }).length > 0) return undefined;
  const registry = await startRegistry(layout, directory);
  const source = registry === undefined ? `oci:${layout}:latest` : `docker://${registry.name}`;
  const out = path.join(directory, "pulled");
  return {
    source: registry === undefined ? "OCI layout" : "registry on this machine",
    take: () => {
      rmSync(out, { recursive: true, force: true });
      mkdirSync(out);
      const start = performance.now();
      run("skopeo", ["copy", "--quiet", "--src-tls-verify=false", source, `oci:${out}/layout:x`]);
      run("umoci", ["unpack", "--image", `${out}/layout:x`, `${out}/bundle`]);
      const pullSeconds = (performance.now() - start) / 1000;
      const programSeconds = secondsOf(inside(path.join(out, "bundle/rootfs"), command));
      rmSync(out, { recursive: true, force: true });
      return { pullSeconds, programSeconds, totalSeconds: pullSeconds + programSeconds };
    },
    stop: () => registry?.stop(),
  };
}

/**
 * What the target allows a start with a replayed trace: 1.3 times the start without delay, and a round trip for each 16 of
 * the chunks it asks for.
 */
export function allowedSeconds({ near, replayed }, delayMs) {
  const trips = Math.ceil(replayed.chunkCount / CHUNKS_A_ROUND_TRIP);
  return 1.3 * near.totalSeconds + (trips * delayMs) / 1000;
}

function help(command) {
  return run(process.execPath, [PROGRAM, command, "--help"]);
}
