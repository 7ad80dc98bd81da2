// ⚡ uses: file system, process, chance
/** Keeps two processes from using one overlay file at once. docs/format/overlay.md, "Lock". */
import { randomBytes } from "node:crypto";
import { readdir, readFile, readlink, symlink, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { errnoOf, LambdaImgError } from "../base/error.ts";
import { toHex } from "../base/bytes.ts";
import { overlayError } from "./_overlay-medium.ts";

/** A lock that is held. */
export interface OverlayLock {
  /** Gives the lock back. Can be called again. */
  release(): Promise<void>;
}

/**
 * Takes the lock of the file. Node has no flock; so each process first makes a mark of its own, a symbolic link whose
 * target says which process it is, and then looks for marks of others. Of two processes, the one that comes second to
 * make its mark sees that of the first: both may give up, but both cannot go on. Nobody removes a mark but its owner,
 * or who knows that its owner is dead; names are never used again, so nobody removes the wrong one.
 * @throws OVERLAY_UNAVAILABLE where another process that lives, or may live, has it
 */
export async function lockOverlay(path: string): Promise<OverlayLock> {
  const directory = dirname(path);
  const prefix = `${basename(path)}.lock-`;
  const own = `${prefix}${toHex(randomBytes(8))}`;
  const release = (): Promise<void> => removeMark(join(directory, own));
  try {
    await symlink(await ownerText(process.pid), join(directory, own));
    for (const name of await readdir(directory)) {
      if (!name.startsWith(prefix) || name === own) continue;
      const owner = await ownerOf(join(directory, name));
      if (owner === undefined) continue;
      if (!(await isDead(owner))) throw lockedError(path, join(directory, name), owner);
      await removeMark(join(directory, name));
    }
    return { release };
  } catch (error) {
    await release().catch(() => undefined); // The failure above is what counts; a mark of a dead process is harmless.
    throw overlayError(error, `${path}: cannot lock the overlay`);
  }
}

/** `undefined` where the mark has gone; an empty text where it is no mark of ours. */
async function ownerOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "EINVAL") return "";
    throw error;
  }
}

/**
 * The process as `boot:process namespace:pid:start`: pids come again, but not with the same start in the same boot
 * of the machine. Systems without /proc leave all but the pid empty.
 */
async function ownerText(pid: number): Promise<string> {
  const boot = (await textOf("/proc/sys/kernel/random/boot_id")).trim();
  const namespace = await readlink("/proc/self/ns/pid").catch(() => ""); // No /proc, or one that is not ours to read.
  return `${boot}:${namespace.replace(/\D/g, "")}:${pid}:${(await statusOf(pid)).start}`;
}

interface ProcessStatus {
  /** One letter. */
  readonly state: string;
  readonly threadCount: string;
  readonly start: string;
}

/** proc_pid_stat(5): the fields after the last `)` begin with the third; empty where they cannot be read. */
async function statusOf(pid: number): Promise<ProcessStatus> {
  const stat = await textOf(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", threadCount: fields[17] ?? "", start: fields[19] ?? "" };
}

/** True where the process cannot be running; false also where that cannot be known. */
async function isDead(owner: string): Promise<boolean> {
  const match = /^([0-9a-f-]*):(\d*):(\d+):(\d*)$/.exec(owner);
  const here = /^([0-9a-f-]*):(\d*):/.exec(await ownerText(process.pid));
  if (match === null || here === null) return false;
  const [, boot, namespace, pidText, start] = match;
  if (boot !== here[1]) return boot !== "" && here[1] !== ""; // The machine was started again since.
  if (namespace !== here[2]) return false; // A pid of another container says nothing here.
  const pid = Number(pidText);
  if (!isRunning(pid)) return true;
  const now = await statusOf(pid);
  // It has ended, and nobody has asked for its status, as of what was orphaned where process 1 does not reap. While a
  // thread of it is still in the kernel its files are open: those are counted.
  if (now.state === "Z" && now.threadCount === "1") return true;
  return now.start !== "" && now.start !== start; // Empty: hidden from us, or no /proc.
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) !== "ESRCH"; // EPERM: it runs, as somebody else.
  }
}

/** The text, or nothing where there is no such file. */
async function textOf(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

async function removeMark(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

function lockedError(path: string, lockPath: string, owner: string): LambdaImgError {
  return new LambdaImgError(
    "OVERLAY_UNAVAILABLE",
    `${path}: the overlay is in use: ${lockPath} names process ${owner.split(":")[2] ?? "unknown"}; remove it where no such process runs`,
    { details: { path, lockPath } },
  );
}
