// ⚡ uses: process
/** Makes files durable: by one syncfs(2) where there is a tool for it, else file by file. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";

import { LambdaImgError } from "../base/error.ts";
import { forEachLimited } from "../base/pool.ts";
import { syncPath } from "./_file.ts";

const SYNCS_AT_ONCE = 8;
const TOOL_OUTPUT_CHARACTERS_MAX = 1000;

/**
 * Makes the files durable, and their names in their directories and in the directories above those.
 * @throws STORE_UNAVAILABLE
 */
export async function makeDurable(storeDirectory: string, files: Iterable<string>): Promise<void> {
  // One syncfs costs about as much as one fsync; a fsync for each chunk halves the speed of a conversion.
  if (await syncFileSystem(storeDirectory)) return;
  const directories = new Set<string>();
  await forEachLimited(files, SYNCS_AT_ONCE, async (file) => {
    directories.add(dirname(file)).add(dirname(dirname(file)));
    await syncPath(file);
  });
  await forEachLimited(directories, SYNCS_AT_ONCE, syncPath);
}

/**
 * Makes durable what lies in the store's file system by now, where there is a tool for it.
 * @throws STORE_UNAVAILABLE
 */
export async function hastenDurability(storeDirectory: string): Promise<void> {
  await syncFileSystem(storeDirectory);
}

/** False where the system has no tool that can do it: Node has no syncfs of its own. */
async function syncFileSystem(directory: string): Promise<boolean> {
  const run = await runSync(directory);
  if (run === undefined) return false;
  if (run.status === 0) return true;
  // Only a tool that does not know the option may be passed over. A failed syncfs has used up the kernel's
  // report of the lost write: a fsync after it would succeed over data that is gone.
  if (/invalid option|unrecognized option|illegal option|usage:/i.test(run.output)) return false;
  throw new LambdaImgError(
    "STORE_UNAVAILABLE",
    `${directory}: cannot make the store durable: sync -f ended with ${run.status ?? "a signal"}: ${run.output.trim()}`,
  );
}

interface ToolRun {
  readonly status: number | null;
  readonly output: string;
}

/** `undefined` where there is no such program. */
function runSync(directory: string): Promise<ToolRun | undefined> {
  return new Promise((resolve) => {
    const child = spawn("sync", ["-f", "--", directory], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, LC_ALL: "C" }, // The test for an unknown option reads English.
    });
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (output.length < TOOL_OUTPUT_CHARACTERS_MAX) output += text;
    });
    child.once("error", () => {
      resolve(undefined);
    });
    child.once("close", (status) => {
      resolve({ status, output });
    });
  });
}
