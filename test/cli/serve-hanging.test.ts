/** A store that does not answer: one of its files is one of nbdfuse, whose device waits until the test says so. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { CliHome, isBuilt, jsonOf } from "../support/cli-run.ts";
import { describeWith, run } from "../support/judge.ts";
import { MemoryDevice, serve } from "../nbd/serving.ts";
import { writeApp } from "./_images.ts";
import { startServe } from "./_serving.ts";

const CHUNK_BYTES = 512 * 1024;

describe.skipIf(!isBuilt)("lambda-img serve with a store that hangs (needs npm run build)", () => {
  let home: CliHome;
  const inHome = (name: string): string => path.join(home.path, name);

  beforeAll(async () => {
    home = new CliHome();
    writeApp(home.path);
    jsonOf(await home.run(["convert", "oci:app", "--json"]));
    await home.run(["export", "app", "-o", "disk.ext4"]);
  });
  afterAll(() => {
    home.remove();
  });

  /** Lets a chunk of the store hang until what is returned is called, or the test ends. */
  async function hangChunk(): Promise<() => void> {
    return (await hang((file) => /chunks\/..\/./.test(file) && statSync(file).size === CHUNK_BYTES)).release;
  }

  /** The same for the first file that is meant; `device` is asked for what it holds. */
  async function hang(
    isMeant: (file: string) => boolean,
  ): Promise<{ readonly release: () => void; readonly device: MemoryDevice }> {
    const file = readdirSync(home.storePath, { recursive: true, encoding: "utf8" })
      .map((name) => path.join(home.storePath, name))
      .find(isMeant)!;
    const bytes = readFileSync(file);
    const device = new MemoryDevice(bytes.length, { isReadOnly: true }).fill(0, bytes);
    const { uri, folder } = await serve({ "": device });
    const place = path.join(folder, "fuse");
    mkdirSync(place);
    const nbdfuse = spawn("nbdfuse", ["-r", path.join(place, "chunk"), uri], { stdio: "inherit" });
    const ended = once(nbdfuse, "close");
    while (!existsSync(path.join(place, "chunk"))) await new Promise((resolve) => setImmediate(resolve));
    const release = device.hold();
    rmSync(file);
    symlinkSync(path.join(place, "chunk"), file);
    onTestFinished(async () => {
      release();
      rmSync(file);
      writeFileSync(file, bytes);
      await run("umount", ["-l", place]);
      await ended;
    });
    return { release, device };
  }

  describeWith(["nbdfuse", "root", "nbdcopy"], "on this machine", () => {
    test("a read fails at the deadline, and goes well when the store answers again", async () => {
      const release = await hangChunk();
      const server = await startServe(home, ["app", "--overlay", "none", "--read-timeout", "0.2"]);
      await expect(run("nbdcopy", [server.uri, inHome("copy")])).rejects.toThrow("Input/output error");
      expect(server.stderr()).toContain("the store has not given it: expected at most 0.2 s");
      release();
      await run("nbdcopy", [server.uri, inHome("copy")]);
      expect(readFileSync(inHome("copy")).equals(readFileSync(inHome("disk.ext4")))).toBe(true);
      expect(await server.stop()).toEqual({ status: 0, signal: null });
    });

    test("a server whose read hangs in the kernel does all else, and then kills itself", async () => {
      await hangChunk();
      const server = await startServe(home, [
        "app",
        "--overlay",
        "none",
        "--read-timeout",
        "0.2",
        "--socket",
        "h",
      ]);
      await expect(run("nbdcopy", [server.uri, inHome("copy")])).rejects.toThrow("Input/output error");
      expect(await server.stop()).toEqual({ status: null, signal: "SIGKILL" });
      expect(existsSync(inHome("h"))).toBe(false);
      expect(server.stderr()).toContain("a read of the store does not end");
    });

    test("a server stops also where the store does not say what a name stands for", async () => {
      const server = await startServe(home, ["app", "--socket", "h"]);
      const { device } = await hang((file) => /refs\/.*\/./.test(file));
      const asking = expect(run("nbdinfo", [server.uri])).rejects.toThrow("nbdinfo");
      while (device.calls.read === 0) await new Promise((resolve) => setImmediate(resolve));
      expect(await server.stop()).toEqual({ status: null, signal: "SIGKILL" });
      expect(existsSync(inHome("h"))).toBe(false);
      expect(server.stderr()).toContain("a read of the store does not end");
      await asking;
    });
  });
});
