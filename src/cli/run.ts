// ⚡ uses: file system, process
/** `lambda-img run`: an image's command on its mounted disk, in namespaces of its own. docs/serve.md, "Running". */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rmdir } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";

import { ImageDevice } from "../device/image-device.ts";
import { Ext4Reader } from "../ext4/reader.ts";
import type { ManifestId } from "../manifest/manifest-id.ts";
import { openContext, openImageManifest } from "./context.ts";
import type { Output } from "./output.ts";
import { hostEnvironment, signalProcess } from "./_host-program.ts";
import { planProcess, type ImageProcess } from "./_image-process.ts";
import { checkCanMount, mountImage, unmountImage } from "./_mounted-image.ts";
import { mountsDirectory } from "./_runtime-directory.ts";
import type { DeviceOptions } from "./_serve-options.ts";
import { placeOf, serveArgumentsOf } from "./mount.ts";

/** The command's options as commander gives them. */
export interface RunOptions extends DeviceOptions {
  readonly entrypoint?: string;
}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

const STDIN_FD = 0;
/** Status of a process whose namespaces cannot be made, as other engines have it. */
const STATUS_NO_START = 125;
const FORWARDED: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];
/** A terminal sends these to all that run on it. */
const FROM_TERMINAL: readonly NodeJS.Signals[] = ["SIGINT", "SIGQUIT"];

/**
 * Gives the root directory $1 what a process expects of a system, then runs the rest of the words. The shell stays:
 * it is process 1 of the namespace, which signals without a handler do not end, and which reaps.
 * The namespace's mounts are private: where the image has a symlink in place of a directory, nothing outside changes.
 */
const SETUP = `
root=$1; shift
( set -e
  [ -e "$root/proc" ] || mkdir "$root/proc"
  mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
  [ -e "$root/dev" ] || mkdir "$root/dev"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  for name in null zero full random urandom tty; do
    : > "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/\${number%%:*}" "$root/dev/\${number#*:}"
  done
  mkdir -m 1777 "$root/dev/shm"
  if [ -f "$root/etc/resolv.conf" ] && [ -f /etc/resolv.conf ]; then
    mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
  fi
)
[ $? -eq 0 ] || exit ${STATUS_NO_START}
"$@"
exit $?
`;

/** Runs the image; resolves to the status of its command, as a shell would show it. */
export async function run(
  [image = "", ...words]: readonly string[],
  options: RunOptions,
  use: Use,
): Promise<number> {
  const isReadOnly = options.overlay === "none";
  const serveArguments = serveArgumentsOf(options, { image, isReadOnly });
  await checkCanMount(["unshare", "sh", "env", "mkdir", "ln"]);
  const { planned, manifestId } = await planOf(
    image,
    { words, entrypoint: options.entrypoint },
    { options, use },
  );
  if (planned.lostVariables.length > 0) {
    use.output.warn(`the image has no env program to set ${planned.lostVariables.join(", ")} with: not set`);
  }
  const mountPoint = await mkdtemp(join(await mountsDirectory(), "run-"));
  const place = await placeOf(mountPoint);
  try {
    await mountImage(
      place,
      { image, served: manifestId, serveArguments, isReadOnly, mountOptions: [] },
      use.signal,
    );
    try {
      return await runProcess(mountPoint, planned);
    } finally {
      await unmountImage(place);
    }
  } finally {
    await rmdir(mountPoint);
  }
}

async function planOf(
  image: string,
  request: Parameters<typeof planProcess>[1],
  { options, use }: { readonly options: RunOptions; readonly use: Use },
): Promise<{ readonly planned: ImageProcess; readonly manifestId: ManifestId }> {
  const context = await openContext(options, { create: false, output: use.output });
  try {
    // The server is given the id: the name may stand for another manifest by then.
    const { manifestId, content } = await openImageManifest(context, image);
    const reader = await Ext4Reader.open(new ImageDevice(context.store, content));
    return { planned: await planProcess(content.image.run, request, reader), manifestId };
  } finally {
    await context.store.close();
  }
}

async function runProcess(root: string, planned: ImageProcess): Promise<number> {
  const { words, uid, gid, workingDirectory, variables } = planned;
  const child = spawn(
    "unshare",
    [
      ...["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--"],
      ...["sh", "-c", SETUP, "sh", root],
      ...["env", "-i", "--", ...variables],
      ...[
        "unshare",
        `--root=${root}`,
        `--wd=${workingDirectory}`,
        `--setgid=${gid}`,
        `--setuid=${uid}`,
        "--",
      ],
      ...words,
    ],
    { stdio: "inherit", env: hostEnvironment() },
  );
  // Not process.stdin.isTTY: with the stream Node makes stdin non-blocking, and it is the command's as well.
  const isFromTerminal = isatty(STDIN_FD);
  const listeners = FORWARDED.map((signal) => {
    const forward = (): void => {
      if (isFromTerminal && FROM_TERMINAL.includes(signal)) return;
      void forwardSignal(child, signal);
    };
    process.on(signal, forward);
    return { signal, forward };
  });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status, signal) => {
        resolve(status ?? 128 + constants.signals[signal ?? "SIGKILL"]);
      });
    });
  } finally {
    for (const { signal, forward } of listeners) process.removeListener(signal, forward);
  }
}

/** To the image's command; where that has not been started yet, everything ends. */
async function forwardSignal(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const first = (await childrenOf(child.pid ?? 0))[0];
  const command = first === undefined ? undefined : (await childrenOf(first))[0];
  if (command === undefined) child.kill("SIGKILL");
  else signalProcess(command, signal);
}

/** proc_pid_children(5): the oldest first. */
async function childrenOf(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => ""); // It has ended.
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map(Number);
}
