/** An image that tests of the command line convert. */
import path from "node:path";

import { writeLayout } from "../support/oci-layout.ts";
import { tarBuilder } from "../support/tar-builder.ts";

export const LOWER: Uint8Array = tarBuilder()
  .dir("./", { mode: 0o755, mtime: 1_600_000_000 })
  .dir("etc", { mtime: 1_600_000_000 })
  .file("etc/motd", "hello\n", { mtime: 1_600_000_001, uid: 7, gid: 8, mode: 0o640 })
  .file("gone", "x".repeat(5000))
  .file("name-\xff", "odd")
  .end();

export const UPPER: Uint8Array = tarBuilder()
  .symlink("motd", "etc/motd", { mtime: 5 })
  .hardlink("etc/again", "etc/motd")
  .device("null", "char", { devmajor: 1, devminor: 3, mode: 0o666 })
  .file(".wh.gone")
  .file("tool", "#!\n", { mode: 0o6755 })
  .end();

/** The environment in the image's config: a secret that only `inspect` shows. */
export const SECRET = "TOKEN=do-not-print-4711";

/** Writes the image's layout to `app` in the folder. */
export function writeApp(folder: string, layers: readonly Uint8Array[] = [LOWER, UPPER]): string {
  return writeLayout(path.join(folder, "app"), [
    {
      layers: layers.map((tar) => ({ tar })),
      run: { Env: [SECRET], Cmd: ["/tool"], User: "7", WorkingDir: "/etc" },
    },
  ]);
}
