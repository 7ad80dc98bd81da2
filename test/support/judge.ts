/**
 * Outside judges of disk images: e2fsck, the kernel, umoci. None shares code with src/. A test says which judges it
 * needs with `describeWith` or `testWith`: where one is missing it is skipped by name, and fails by name in CI
 * (CI=true, or LAMBDA_IMG_REQUIRE_JUDGES=1; LAMBDA_IMG_WAIVE_JUDGES=mount,umoci names those that may be missing).
 */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, rmdir } from "node:fs/promises";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

import { describe, test } from "vitest";

import type { JudgedEntry } from "./judged-tree.ts";

export { compareTrees } from "./judged-tree.ts";
export type { Aspect, CompareOptions, ExpectedEntry, JudgedEntry } from "./judged-tree.ts";

// Debian keeps e2fsprogs and mount where the PATH of ordinary users does not lead.
process.env["PATH"] = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** The judges, by name. `root`: the right to make any file; `mount`: root, the loop driver and the kernel's ext4. */
export const JUDGES = [
  "e2fsck",
  "debugfs",
  "dumpe2fs",
  "mke2fs",
  "mount",
  "fincore",
  "root",
  "python3",
  "umoci",
  "skopeo",
  "tar",
  "zstd",
  "setfattr",
  "openssl",
  "nbdinfo",
  "nbdcopy",
  "nbdfuse",
  "nbdsh",
  "qemu-img",
  "qemu-io",
  "fio",
  "chromium",
  "promtool",
  "docker-registry",
] as const;
export type Judge = (typeof JUDGES)[number];

/** The Python that Debian's libnbd (of `nbdsh`) belongs to; another may come first in the PATH. */
export const SYSTEM_PYTHON = "/usr/bin/python3";

/** Which judges are usable here; each is tried once, when first asked for. */
export const tools: Readonly<Record<Judge, boolean>> = lazily(isUsable);

/** As `describe`, for tests that need judges. */
export function describeWith(needed: readonly Judge[], name: string, body: () => void): void {
  describeUnless(missingOf(needed), name, body);
}

/** As `describe`, for tests that need more than judges: given what is missing of that. */
export function describeUnless(missing: readonly string[], name: string, body: () => void): void {
  const fate = fateWithout(missing);
  if (fate === "run") describe(name, body);
  else if (fate === "fail") test(name, failFor(missing));
  else describe.skip(`${name} (needs ${missing.join(", ")})`, body);
}

/** As `test`, for a test that needs judges. */
export function testWith(needed: readonly Judge[], name: string, body: () => void | Promise<void>): void {
  const missing = missingOf(needed);
  const fate = fateWithout(missing);
  if (fate === "run") test(name, body);
  else if (fate === "fail") test(name, failFor(missing));
  else test.skip(`${name} (needs ${missing.join(", ")})`, body);
}

/** What becomes of tests that need what is missing: the rule above, in one place. */
export function fateWithout(
  missing: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): "run" | "skip" | "fail" {
  if (missing.length === 0) return "run";
  const isStrict = environment["CI"] === "true" || environment["LAMBDA_IMG_REQUIRE_JUDGES"] === "1";
  const waived = (environment["LAMBDA_IMG_WAIVE_JUDGES"] ?? "").split(",");
  return isStrict && missing.some((judge) => !waived.includes(judge)) ? "fail" : "skip";
}

/** Runs a program without a shell in the C locale; gives its standard output, or throws with all it said. */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runToEnd(program, args);
  if (status !== 0) {
    throw new Error(
      `${program} ${args.join(" ")}: exit status ${status}\n${stdout.slice(-4000)}${stderr.slice(-4000)}`,
    );
  }
  return stdout;
}

const E2FSCK_PASSES = [
  "Pass 1: Checking inodes, blocks, and sizes",
  "Pass 2: Checking directory structure",
  "Pass 3: Checking directory connectivity",
  "Pass 4: Checking reference counts",
  "Pass 5: Checking group summary information",
];

/**
 * Has e2fsck judge a disk image without changing it: status 0, the five passes, the line of totals, and not one word
 * more. Gives the line of totals; throws with all that e2fsck said.
 */
export async function fsck(diskImage: string): Promise<string> {
  const { status, stdout, stderr } = await runToEnd("e2fsck", ["-f", "-n", diskImage]);
  const lines = `${stderr}${stdout}`.split("\n").filter((line) => line !== "");
  const remarks = lines.filter((line) => !/^e2fsck \d/.test(line) && !E2FSCK_PASSES.includes(line));
  const totals = remarks.pop() ?? "";
  const isComplete = E2FSCK_PASSES.every((pass) => lines.includes(pass));
  const isTotals = /: \d+\/\d+ files \(\d+\.\d% non-contiguous\), \d+\/\d+ blocks$/.test(totals);
  if (status === 0 && isComplete && isTotals && remarks.length === 0) return totals;
  throw new Error(`e2fsck -fn ${diskImage}: exit status ${status}\n${lines.slice(0, 60).join("\n")}`);
}

/** How to mount: read-only leaves even the journal alone. */
export interface MountOptions {
  readonly readOnly: boolean;
}

const mounted = new Set<string>();
process.on("exit", () => {
  // A test that was cut short leaves no mount behind.
  for (const place of mounted) spawnSync("umount", ["-l", place]);
});

/** Has the kernel mount a disk image, for as long as `use` runs; unmounts whatever happens. */
export async function withMount<T>(
  diskImage: string,
  { readOnly }: MountOptions,
  use: (place: string) => Promise<T>,
): Promise<T> {
  const place = await mkdtemp(path.join(os.tmpdir(), "lambda-img-mount-"));
  try {
    const options = `loop,nosuid,${readOnly ? "ro,noload" : "rw"}`;
    await run("mount", ["-t", "ext4", "-o", options, diskImage, place]);
    mounted.add(place);
    return await use(place);
  } finally {
    if (mounted.has(place)) await unmount(place);
    await rmdir(place);
  }
}

/** Lists a directory tree in byte order of paths; throws where a part of it cannot be read. Needs `python3`. */
export async function walkTree(directory: string): Promise<JudgedEntry[]> {
  const lines = await run("python3", [path.join(import.meta.dirname, "walk-tree.py"), directory]);
  return lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JudgedEntry);
}

/** The tree that umoci makes of an image in an OCI layout. Needs `umoci`, `python3` and root (for owners and devices). */
export async function umociTree(layoutDirectory: string, tag: string): Promise<JudgedEntry[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), "lambda-img-umoci-"));
  try {
    const bundle = path.join(folder, "bundle");
    await run("umoci", ["unpack", "--image", `${layoutDirectory}:${tag}`, bundle]);
    return await walkTree(path.join(bundle, "rootfs"));
  } finally {
    // Unlike rm of node:fs this takes paths of any length.
    await run("rm", ["-r", "-f", "--", folder]);
  }
}

async function unmount(place: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { status, stderr } = await runToEnd("umount", [place]);
    if (status === 0) break;
    if (attempt === 20) {
      await runToEnd("umount", ["-l", place]);
      mounted.delete(place);
      throw new Error(`umount ${place}: ${stderr}`);
    }
    // Something outside (an indexer, a scanner) may hold it for a moment.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  mounted.delete(place);
}

function lazily(decide: (judge: Judge) => boolean): Record<Judge, boolean> {
  const known: Partial<Record<Judge, boolean>> = {};
  return Object.defineProperties(
    {},
    Object.fromEntries(
      JUDGES.map((judge) => [judge, { enumerable: true, get: () => (known[judge] ??= decide(judge)) }]),
    ),
  ) as Record<Judge, boolean>;
}

function isUsable(judge: Judge): boolean {
  if (judge === "root") return process.getuid?.() === 0;
  if (judge === "mount") return canMount();
  if (judge === "nbdsh")
    return spawnSync(SYSTEM_PYTHON, ["-c", "import nbd"], { stdio: "ignore" }).status === 0;
  // e2fsprogs print their version for -V alone, openssl for a command of that name, the others for --version.
  const isE2fs = ["e2fsck", "debugfs", "dumpe2fs", "mke2fs"].includes(judge);
  const question = isE2fs ? "-V" : judge === "openssl" ? "version" : "--version";
  return spawnSync(judge, [question], { stdio: "ignore" }).status === 0;
}

function canMount(): boolean {
  if (!tools.root || !tools.mke2fs) return false;
  const folder = mkdtempSync(path.join(os.tmpdir(), "lambda-img-probe-"));
  const diskImage = path.join(folder, "disk.ext4");
  const place = path.join(folder, "place");
  try {
    execFileSync("mke2fs", ["-q", "-t", "ext4", diskImage, "1M"], { stdio: "ignore" });
    execFileSync("mkdir", [place]);
    execFileSync("mount", ["-t", "ext4", "-o", "loop,ro,noload", diskImage, place], { stdio: "ignore" });
    execFileSync("umount", [place]);
    return true;
  } catch {
    return false; // Whatever of it fails, mounting does not work here.
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function missingOf(needed: readonly Judge[]): Judge[] {
  return needed.filter((judge) => !tools[judge]);
}

function failFor(missing: readonly string[]): () => never {
  return () => {
    throw new Error(`missing judge: ${missing.join(", ")}`);
  };
}

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runToEnd(program: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, LC_ALL: "C", TZ: "UTC" }, maxBuffer: 1024 ** 3 };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number") reject(new Error(`${program}: ${error.message}`));
      else resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr });
    });
    child.stdin?.end();
  });
}
