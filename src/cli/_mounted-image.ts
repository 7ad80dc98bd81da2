// ⚡ uses: file system, process
/**
 * An image mounted by the kernel: a server, nbdfuse which makes its export a file, a loop device on that file, and ext4.
 * What is there is found by looking, not by remembering: so a mount of which any part died can be taken down.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, open, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { definite, errnoOf, ERROR_KINDS, LambdaImgError, type ErrorCode } from "../base/error.ts";
import {
  comesTrue,
  hostEnvironment,
  missingOf,
  processesLike,
  retried,
  runProgram,
  signalProcess,
} from "./_host-program.ts";

const START_MS_MAX = 60_000;
const RELEASE_MS_MAX = 10_000;
/** The server gives its clients 5 s when it stops, and flushes. */
const STOP_MS_MAX = 30_000;
/** Threads of nbdfuse: as many requests are under way at a time. */
const NBDFUSE_CONNECTIONS = "16";

/** Where an image is mounted, and the directory that holds what belongs to this mount. */
export interface MountPlace {
  readonly mountPoint: string;
  /** Private, and of this mount alone. */
  readonly directory: string;
}

/** What to mount. */
export interface MountRequest {
  /** As the user calls it. */
  readonly image: string;
  /** The same, or what it was found to stand for: asked of the store once, by the server, and held to from then on. */
  readonly served: string;
  /** Arguments of `serve` besides image and socket. */
  readonly serveArguments: readonly string[];
  readonly isReadOnly: boolean;
  /** Options of mount(8) besides `ro` and `rw`. */
  readonly mountOptions: readonly string[];
}

/** @throws MOUNT_FORBIDDEN, MOUNT_UNSUPPORTED where this machine or user cannot mount; the message has all that is missing */
export async function checkCanMount(programs: readonly string[]): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw new LambdaImgError("MOUNT_FORBIDDEN", "only root can mount: expected user 0, found another");
  }
  const devices = ["/dev/fuse", "/dev/loop-control"];
  const missing = await missingOf(["nbdfuse", "losetup", "mount", "umount", ...programs], devices);
  if (missing.length === 0) return;
  throw new LambdaImgError(
    "MOUNT_UNSUPPORTED",
    `this machine lacks what a mount needs: ${missing.join(", ")}`,
    {
      details: { missing: missing.join(" ") },
    },
  );
}

/**
 * Mounts the image; where a step fails, what was done is undone.
 * @throws MOUNT_CONFLICT where the directory exists; MOUNT_UNAVAILABLE; what the server says; the signal's reason
 */
export async function mountImage(
  place: MountPlace,
  request: MountRequest,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  await makeDirectory(place);
  try {
    const manifestId = await startServer(place, request);
    // For people who look around here; the log speaks of the manifest alone.
    await writeFile(join(place.directory, "image"), `${request.image}\n${manifestId}\n`);
    signal.throwIfAborted();
    await startNbdfuse(place, request);
    signal.throwIfAborted();
    const readOnly = request.isReadOnly ? ["--read-only"] : [];
    const device = await runProgram("losetup", [
      ...["--find", "--show", "--direct-io=on", "--sector-size", "4096"],
      ...[...readOnly, diskFile(place)],
    ]);
    // noload: a disk image has no journal, and nothing shall be replayed from one.
    const access = request.isReadOnly ? ["ro", "noload"] : ["rw", "discard"];
    const options = [...access, ...request.mountOptions].join(",");
    await runProgram("mount", ["-t", "ext4", "-o", options, device, place.mountPoint]);
  } catch (error) {
    await unmountImage(place);
    throw error;
  }
}

/**
 * Takes down what is there of a mount, in order, and removes its directory. What was written is flushed, as far as the
 * parts still live.
 * @throws MOUNT_CONFLICT where the file system or a device is in use: nothing is lost, and it can be tried again
 */
export async function unmountImage(place: MountPlace): Promise<void> {
  for (const device of await loopDevices(place)) {
    await unmountFileSystem(place, device);
    await runProgram("losetup", ["--detach", device]).catch(() => undefined); // Whether it is gone is looked at below.
  }
  const areDetached = await comesTrue(async () => (await loopDevices(place)).length === 0, RELEASE_MS_MAX);
  if (!areDetached) throw inUse(place, `loop device ${(await loopDevices(place)).join(", ")}`);
  if (await isMounted(fuseDirectory(place))) {
    await retried(() => runProgram("umount", [fuseDirectory(place)]), RELEASE_MS_MAX).catch(
      (error: unknown) => {
        throw inUse(place, "the file of the disk image", error);
      },
    );
  }
  // nbdfuse ends with its mount, the server when it is told to.
  const users = (): Promise<readonly number[]> => processesLike((words) => isOfMount(place, words));
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (const pid of await users()) signalProcess(pid, signal);
    if (await comesTrue(async () => (await users()).length === 0, STOP_MS_MAX)) break;
  }
  await rm(socketPath(place), { force: true });
  for (const name of ["log", "nbdfuse.pid", "mount-point", "image"])
    await rm(join(place.directory, name), { force: true });
  // rmdir takes empty directories only: should a mount be there after all, nothing in it is removed.
  for (const directory of [fuseDirectory(place), place.directory]) await rmdir(directory).catch(ignoreAbsent);
}

/** Where the parts of a mount write what people should know. */
export function logPath({ directory }: MountPlace): string {
  return join(directory, "log");
}

/** The server or nbdfuse, by the socket's path, which no other mount has. Other clients of the server are left alone. */
function isOfMount(place: MountPlace, words: readonly string[]): boolean {
  const isServer = words.includes("serve") && words[words.indexOf("--socket") + 1] === socketPath(place);
  return isServer || (words[0] === "nbdfuse" && words.includes(diskFile(place)));
}

async function makeDirectory(place: MountPlace): Promise<void> {
  try {
    await mkdir(place.directory, { mode: 0o700 });
    await mkdir(fuseDirectory(place), { mode: 0o700 });
    await writeFile(join(place.directory, "mount-point"), `${place.mountPoint}\n`);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      throw new LambdaImgError(
        "MOUNT_CONFLICT",
        `${place.mountPoint}: an image is mounted there, or was: expected none; lambda-img umount takes it down`,
      );
    }
    throw new LambdaImgError("MOUNT_UNAVAILABLE", `${place.directory}: cannot make it: ${errnoOf(error)}`);
  }
}

/**
 * Starts the server in a session of its own, so that it outlives us and our terminal. nbdfuse connects many times: the name
 * is pinned, so that no connection has to ask the store for it, and all of them read one disk. Returns the manifest id.
 */
async function startServer(
  place: MountPlace,
  { served, serveArguments }: Pick<MountRequest, "served" | "serveArguments">,
): Promise<string> {
  const program = process.argv[1] ?? "";
  const where = ["--socket", socketPath(place), "--pin", "--json"];
  const args = ["serve", ...serveArguments, ...where, "--", served];
  const log = await open(logPath(place), "a", 0o600);
  try {
    const child = spawn(process.execPath, [program, ...args], {
      detached: true,
      stdio: ["ignore", "pipe", log.fd],
    });
    const line = await firstLine(child);
    child.stdout?.destroy();
    child.unref();
    if (line === undefined) throw await serverError(place);
    // What comes is what serve.ts has written.
    const { exports } = JSON.parse(line) as { readonly exports: readonly { readonly manifest: string }[] };
    return definite(exports[0], "a server serves what it was asked for").manifest;
  } finally {
    await log.close();
  }
}

/** The first line that a program writes, or `undefined` where it ends without one. */
function firstLine({ stdout }: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = "";
    stdout?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("\n")) resolve(said.slice(0, said.indexOf("\n")));
    });
    stdout?.once("close", () => {
      resolve(undefined);
    });
  });
}

async function startNbdfuse(place: MountPlace, { isReadOnly }: MountRequest): Promise<void> {
  const pidFile = join(place.directory, "nbdfuse.pid");
  const log = await open(logPath(place), "a", 0o600);
  try {
    const child = spawn(
      "nbdfuse",
      [
        ...(isReadOnly ? ["--readonly"] : []),
        ...[
          "-P",
          pidFile,
          "-C",
          NBDFUSE_CONNECTIONS,
          diskFile(place),
          `nbd+unix:///?socket=${socketPath(place)}`,
        ],
      ],
      { detached: true, stdio: ["ignore", log.fd, log.fd], env: hostEnvironment() },
    );
    const hasEnded = endOf(child);
    const isReady = async (): Promise<boolean> =>
      hasEnded() || (await readFile(pidFile, "utf8").catch(() => "")) !== "";
    const isInTime = await comesTrue(isReady, START_MS_MAX);
    child.unref();
    if (!isInTime || hasEnded()) {
      const said = await lastLine(place);
      throw new LambdaImgError("MOUNT_UNAVAILABLE", `nbdfuse: it did not start: ${said}`);
    }
  } finally {
    await log.close();
  }
}

function endOf(child: ChildProcess): () => boolean {
  let hasEnded = false;
  const end = (): void => {
    hasEnded = true;
  };
  child.once("exit", end).once("error", end);
  return () => hasEnded;
}

/** Only a file system on our device is unmounted, and no other that somebody has mounted over it. */
async function unmountFileSystem(place: MountPlace, device: string): Promise<void> {
  for (;;) {
    const top = (await mounts()).filter(({ mountPoint }) => mountPoint === place.mountPoint).at(-1);
    if (top?.source !== device) break;
    await runProgram("umount", [place.mountPoint]).catch((error: unknown) => {
      throw inUse(place, place.mountPoint, error);
    });
  }
  const elsewhere = (await mounts()).find(({ source }) => source === device);
  if (elsewhere !== undefined) throw inUse(place, elsewhere.mountPoint);
}

function inUse(place: MountPlace, what: string, cause?: unknown): LambdaImgError {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  return new LambdaImgError(
    "MOUNT_CONFLICT",
    `${what} is in use${reason}; when its users are gone, lambda-img umount ${place.mountPoint} finishes`,
    { details: { mountPoint: place.mountPoint } },
  );
}

/** The failure that the server has written to its log, as ours. */
async function serverError(place: MountPlace): Promise<LambdaImgError> {
  const line = await lastLine(place);
  const match = /^\{"type":"error","code":"([A-Z_]+)".*?"message":("(?:[^"\\]|\\.)*")/.exec(line);
  const code = match?.[1] ?? "";
  if (!isErrorCode(code)) {
    return new LambdaImgError("MOUNT_UNAVAILABLE", `the server did not start: ${line}`);
  }
  const message: unknown = JSON.parse(match?.[2] ?? '""');
  return new LambdaImgError(code, String(message));
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_KINDS, text);
}

async function lastLine(place: MountPlace): Promise<string> {
  const text = await readFile(logPath(place), "utf8");
  return text.trimEnd().split("\n").at(-1) ?? "";
}

/** Loop devices on the file that nbdfuse shows, or showed. */
async function loopDevices(place: MountPlace): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readdir("/sys/block")) {
    if (!name.startsWith("loop")) continue;
    const backing = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => ""); // Not in use.
    if (backing.trimEnd().replace(/ \(deleted\)$/, "") === diskFile(place)) found.push(`/dev/${name}`);
  }
  return found;
}

interface MountEntry {
  readonly mountPoint: string;
  readonly source: string;
}

async function isMounted(path: string): Promise<boolean> {
  return (await mounts()).some(({ mountPoint }) => mountPoint === path);
}

/** proc_pid_mountinfo(5), in the order of mounting. */
async function mounts(): Promise<readonly MountEntry[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      return {
        mountPoint: unescape(before.split(" ")[4] ?? ""),
        source: unescape(after.split(" ")[1] ?? ""),
      };
    });
}

/** Space, tab, line end and backslash come as octal digits. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function fuseDirectory({ directory }: MountPlace): string {
  return join(directory, "fuse");
}

function diskFile(place: MountPlace): string {
  return join(fuseDirectory(place), "disk");
}

function socketPath({ directory }: MountPlace): string {
  return join(directory, "nbd.sock");
}

function ignoreAbsent(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}
