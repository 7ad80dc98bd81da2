// ⚡ uses: file system
/** `lambda-img mount` and `umount`: an image as a directory, by the kernel's ext4. docs/serve.md, "Mounting". */
import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import { toHex } from "../base/bytes.ts";
import { sha256 } from "../base/digest.ts";
import {
  parseOverlay,
  parsePrefetch,
  parseReading,
  parseTiers,
  type DeviceOptions,
} from "./_serve-options.ts";
import { checkCanMount, logPath, mountImage, unmountImage, type MountPlace } from "./_mounted-image.ts";
import { mountsDirectory } from "./_runtime-directory.ts";
import { defaultKeyPath, defaultStorePath, type CommonOptions } from "./context.ts";
import type { Output } from "./output.ts";

/** The command's options as commander gives them. */
export interface MountOptions extends DeviceOptions {
  readonly readOnly?: boolean;
}

interface Use {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** Mounts an image, and returns when it is mounted. */
export async function mount(
  [image = "", directory = ""]: readonly string[],
  options: MountOptions,
  { output, signal }: Use,
): Promise<void> {
  const isReadOnly = options.readOnly === true || options.overlay === "none";
  const serveArguments = serveArgumentsOf(options, { image, isReadOnly });
  await checkCanMount([]);
  const place = await placeOf(directory);
  await checkDirectory(place.mountPoint);
  await checkApart(place, options);
  // Who mounts for others to look at does not want their programs to become root, or devices to be opened.
  const mountOptions = ["nosuid", "nodev"];
  await mountImage(place, { image, served: image, serveArguments, isReadOnly, mountOptions }, signal);
  const { mountPoint } = place;
  output.result(
    { command: "mount", image, mountPoint, readOnly: isReadOnly, log: logPath(place) },
    () => `${mountPoint}\n`,
  );
}

/** Takes a mount down, also one of which parts have died. */
export async function unmount(
  [directory = ""]: readonly string[],
  _options: CommonOptions,
  { output }: Use,
): Promise<void> {
  await checkCanMount([]);
  const place = await placeOf(directory);
  const { mountPoint } = place;
  if (!(await isThere(place.directory))) {
    throw new LambdaImgError("MOUNT_NOT_FOUND", `${mountPoint}: no image was mounted there by this program`);
  }
  await unmountImage(place);
  output.result({ command: "umount", mountPoint }, () => `${mountPoint}\n`);
}

/**
 * What the server has to be told of the options; wrong ones are refused here, before anything is begun.
 * @throws USAGE_INVALID, SIZE_INVALID
 */
export function serveArgumentsOf(
  options: DeviceOptions,
  { image, isReadOnly }: { readonly image: string; readonly isReadOnly: boolean },
): readonly string[] {
  if (isReadOnly && options.overlay !== undefined && options.overlay !== "none") {
    throw new LambdaImgError("USAGE_INVALID", "--read-only: there is nothing to write to an overlay");
  }
  const overlay = isReadOnly ? "none" : options.overlay;
  parseOverlay({ ...options, ...(overlay === undefined ? {} : { overlay }) }, [image]);
  parseReading(options);
  parseTiers(options);
  parsePrefetch(options, [image]);
  const given: readonly (readonly [string, string | undefined])[] = [
    ["--store", options.store],
    ["--key", options.key],
    ["--overlay", overlay],
    ["--overlay-size", options.overlaySize],
    ["--read-timeout", options.readTimeout],
    ["--on-error", options.onError],
    ["--memory", options.memory],
    ["--cache", options.cache],
    ["--cache-size", options.cacheSize],
    ["--prime", options.prime],
  ];
  return [
    ...given.flatMap(([option, value]) => (value === undefined ? [] : [`${option}=${value}`])),
    ...(options.record === true ? ["--record"] : []),
    ...(options.prefetch === false ? ["--no-prefetch"] : []),
  ];
}

/**
 * Where a directory's mount keeps its state. The directory itself is not looked at: where its mount hangs, that could
 * hang, too.
 */
export async function placeOf(directory: string): Promise<MountPlace> {
  const path = resolve(directory);
  const parent = await realpath(dirname(path)).catch(() => {
    throw new LambdaImgError("PATH_NOT_FOUND", `${dirname(path)}: expected a directory, found none`);
  });
  const mountPoint = join(parent, basename(path));
  const name = toHex(sha256(new TextEncoder().encode(mountPoint))).slice(0, 16);
  return { mountPoint, directory: join(await mountsDirectory(), name) };
}

async function checkDirectory(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory() === true) return;
  const what = found === undefined ? "none" : "something else";
  throw new LambdaImgError("PATH_NOT_FOUND", `${path}: expected a directory to mount on, found ${what}`);
}

/**
 * A mount hides what lies below its directory: what its own server reads and writes must not.
 * @throws MOUNT_CONFLICT
 */
async function checkApart({ mountPoint, directory }: MountPlace, options: DeviceOptions): Promise<void> {
  const { overlay = "memory", cache = "none" } = options;
  const needed: readonly (readonly [string, string])[] = [
    ["the store", options.store ?? defaultStorePath()],
    ["the key file", options.key ?? defaultKeyPath()],
    ["the state of mounts", directory],
    ...(cache === "none" ? [] : [["the cache", cache] as const]),
    ...(overlay === "memory" || overlay === "none" ? [] : [["the overlay", overlay] as const]),
  ];
  for (const [what, path] of needed) {
    const real = await realPathOf(resolve(path));
    if (real !== mountPoint && !real.startsWith(mountPoint === "/" ? "/" : `${mountPoint}/`)) continue;
    throw new LambdaImgError("MOUNT_CONFLICT", `${mountPoint}: a mount would hide ${what}, ${real}`);
  }
}

/** The path without symbolic links, whether its end is there or not. */
async function realPathOf(path: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found !== undefined || path === dirname(path)) return found ?? path;
  return join(await realPathOf(dirname(path)), basename(path));
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
