/** Key files on a file system that keeps no modes, as exFAT and many network mounts. */
import type * as Promises from "node:fs/promises";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { openKeyringFile } from "../../src/crypto/keyring-file.ts";
import { temporaryDirectory } from "../support/oci-layout.ts";

/** Every file has this mode, and chmod(2) does nothing. */
const mounted = vi.hoisted(() => ({ mode: 0o777 }));

vi.mock("node:fs/promises", async (load) => {
  const real = await load<typeof Promises>();
  return {
    ...real,
    open: async (path: string, flags?: string | number, mode?: number) => {
      const file = await real.open(path, flags, mode);
      if (flags === "wx") {
        await file.chmod(mounted.mode);
        file.chmod = () => Promise.resolve();
      }
      return file;
    },
  };
});

let folder: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  folder = temporaryDirectory();
});
afterEach(() => {
  folder.remove();
});

test("no key is made where others could read it", async () => {
  const path = join(folder.path, "key.json");
  await expect(openKeyringFile(path, { create: true })).rejects.toMatchObject({
    code: "KEY_INVALID",
    message: expect.stringContaining(`${path}: cannot make the key file: expected a file system`) as string,
  });
  expect(await readdir(folder.path)).toEqual([]);
});

test("a key is made where the mount's own mode keeps others out", async () => {
  mounted.mode = 0o700;
  expect((await openKeyringFile(join(folder.path, "key.json"), { create: true })).isNew).toBe(true);
});
