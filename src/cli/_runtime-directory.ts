// ⚡ uses: file system, process
/** Where sockets and the state of mounts lie: a directory that only this user can enter. */
import { lstat, mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { LambdaImgError } from "../base/error.ts";

const PRIVATE_MODE = 0o700;
const SYSTEM_DIRECTORY = "/run/lambda-img";

/** `lambda-img` in the XDG runtime directory, made if need be; undefined where there is no runtime directory. */
export async function xdgRuntimeDirectory(): Promise<string | undefined> {
  const parent = process.env["XDG_RUNTIME_DIR"];
  // "All paths must be absolute": a relative one is as good as none.
  if (parent?.startsWith("/") !== true) return undefined;
  const path = join(parent, "lambda-img");
  await makePrivateDirectory(path);
  return path;
}

/** Where mounts keep their state: in the runtime directory; root, who needs none, has /run. */
export async function mountsDirectory(): Promise<string> {
  const found = await xdgRuntimeDirectory();
  if (found !== undefined) return found;
  await makePrivateDirectory(SYSTEM_DIRECTORY);
  return SYSTEM_DIRECTORY;
}

/** A new directory for this process alone; remove it. */
export function makeTemporaryDirectory(): Promise<string> {
  return mkdtemp(join(tmpdir(), "lambda-img-"));
}

/** @throws OUTPUT_FORBIDDEN where somebody else could enter it, OUTPUT_UNAVAILABLE where it cannot be made */
async function makePrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: PRIVATE_MODE });
    return;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    if (code !== "EEXIST") {
      throw new LambdaImgError("OUTPUT_UNAVAILABLE", `${path}: cannot make the directory: ${code}`, {
        cause: error,
      });
    }
  }
  const found = await lstat(path);
  const isOurs = found.isDirectory() && found.uid === process.getuid?.();
  if (isOurs && (found.mode & 0o077) === 0) return;
  throw new LambdaImgError(
    "OUTPUT_FORBIDDEN",
    `${path}: expected a directory of this user that nobody else can enter (mode 0700)`,
  );
}
